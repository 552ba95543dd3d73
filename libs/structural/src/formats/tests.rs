use super::*;

#[test]
fn texts_are_of_formats() {
    for (format, right, wrong) in [
        (
            "date-time",
            &["2020-01-01T00:00:00Z", "2020-01-01t23:59:59.5+01:00"][..],
            &["nope", "2020-01-01T24:00:00Z", "2020-01-01T00:00:00"][..],
        ),
        ("date", &["2020-02-29"], &["2020-13-01", "20-01-01", "2021-02-29"]),
        (
            "email",
            &[
                "a@b",
                "Jo Do <jo@do.example>",
                "\"Jo\" Do <a@b>",
                "\"a b\"@c",
                "a@b (Jo)",
            ],
            &["x", "a@", "a b@c", "<a@b", "a..b@c"],
        ),
        (
            "uuid",
            &[
                "123e4567-e89b-12d3-a456-426614174000",
                "123E4567E89B12D3A456426614174000",
            ],
            &["zz"],
        ),
        (
            "uuid4",
            &["123e4567-e89b-42d3-a456-426614174000"],
            &["123e4567-e89b-12d3-a456-426614174000"],
        ),
        (
            "uuid3",
            &["123e4567-e89b-32d3-0456-426614174000"],
            &["123e4567-e89b-42d3-0456-426614174000"],
        ),
        (
            "ipv4",
            &["1.2.3.4", "01.002.3.4", "::ffff:1.2.3.4"],
            &["::1", "1.2.3", "1.2.3.256", "1..2.3"],
        ),
        ("ipv6", &["::1", "fe80::1"], &["1.2.3.4", "::g"]),
        (
            "cidr",
            &["10.0.0.0/8", "::/0", "010.0.0.0/08"],
            &["10.0.0.0/64", "10.0.0.0/", "x/8", "10.0.0.0/+8"],
        ),
        (
            "mac",
            &[
                "00:00:5e:00:53:01",
                "02-00-5e-10-00-00-00-01",
                "0000.5e00.5301",
                "00005e005301",
            ],
            &["00:00:5e", "00:00:5e-00:53:01", "zz:00:5e:00:53:01"],
        ),
        (
            "duration",
            &["1h30m", "22 ns", "0", "-1.5h", "3 weeks", "every 5 days"],
            &["x", "", "5", "zz"],
        ),
        (
            "uri",
            &[
                "http://x",
                "/path",
                "*",
                "mailto:a@b",
                "https://u:p@h:1/x?%",
                "http://[::1]:80/",
            ],
            &["x", "", "http://h:x/", "/%zz", ":x", "http://[::1", "http://a b/"],
        ),
        (
            "hostname",
            &["a.example", "localhost", "1a", "x-y", "ü.example", "a-b.c-d.example"],
            &["a_b", "-a.example", "a.b", "a..example", "ab-c", "a.1x", ""],
        ),
        ("byte", &["YQ==", "YWFh"], &["x", "", "YQ=", "!!!!"]),
        (
            "isbn",
            &["0-321-75104-3", "978-0321751041", "080442957X"],
            &["0321751044", "978-0321751042", "X"],
        ),
        ("isbn10", &["0321751043"], &["978-0321751041"]),
        ("creditcard", &["4111 1111 1111 1111"], &["4111 1111 1111 1112", "1234"]),
        ("ssn", &["111-22-3333"], &["111223333", "x"]),
        ("hexcolor", &["#FFFFFF", "abc"], &["#ffff"]),
        ("rgbcolor", &["rgb(0, 10,255)"], &["rgb(0,0,256)", "rgb(01,0,0)"]),
        ("bsonobjectid", &["507f1f77bcf86cd799439011"], &["507f"]),
        ("k8s-short-name", &["a-b"], &["A", "a.b"]),
        ("k8s-long-name", &["a-b.c"], &["A", "a_b"]),
        ("password", &["x", ""], &[]),
        ("unheard-of", &["x"], &[]),
    ] {
        for text in right {
            assert!(fits(format, text), "{format} {text}");
        }
        for text in wrong {
            assert!(!fits(format, text), "{format} {text}");
        }
    }
}

#[test]
fn types_have_formats() {
    for (kind, format, expected) in [
        ("string", "date-time", true),
        ("", "datetime", true),
        ("integer", "int32", true),
        ("number", "double", true),
        ("string", "nope", false),
        ("boolean", "int32", false),
        ("string", "", false),
    ] {
        assert_eq!(is_known(kind, format), expected, "{kind} {format}");
    }
}
