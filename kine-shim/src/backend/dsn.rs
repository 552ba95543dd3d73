//! How database servers are named: URLs, and what Go's MySQL driver takes, since that is what kine's users have.

use std::path::PathBuf;

use super::endpoint::{Address, Password, Server, TlsMode};

/// The database kine uses when none is named.
const DEFAULT_DATABASE: &str = "kubernetes";
const POSTGRES_PORT: u16 = 5432;
const MYSQL_PORT: u16 = 3306;

/// Options of Go's MySQL driver that change nothing here: what they choose is fixed, or does not concern the store.
const MYSQL_IRRELEVANT: [&str; 12] = [
    "allowNativePasswords",
    "charset",
    "checkConnLiveness",
    "collation",
    "interpolateParams",
    "loc",
    "maxAllowedPacket",
    "multiStatements",
    "parseTime",
    "readTimeout",
    "timeout",
    "writeTimeout",
];
/// Options of PostgreSQL's clients that change nothing here.
const POSTGRES_IRRELEVANT: [&str; 4] = [
    "application_name",
    "connect_timeout",
    "pool_max_conns",
    "target_session_attrs",
];

/// Reads `user:password@host:port/database?sslmode=…`, everything in it percent-encoded and optional.
pub(super) fn postgres(text: &str) -> Result<Server, String> {
    let (rest, query) = text.split_once('?').unwrap_or((text, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let mut parts = Parts::new("postgres", POSTGRES_PORT, "postgres");
    parts.authority(authority)?;
    if !database.is_empty() {
        // Names that are not quoted are lower case; kine makes them so too.
        parts.server.database = decode(database, "the database")?.to_lowercase();
    }
    for (name, value) in options(query) {
        let value = decode(value, name)?;
        match name {
            "sslmode" => {
                parts.server.tls = Some(match value.as_str() {
                    "disable" => TlsMode::Disable,
                    "allow" | "prefer" => TlsMode::Prefer,
                    "require" => TlsMode::Require,
                    "verify-ca" => TlsMode::VerifyCa,
                    "verify-full" => TlsMode::VerifyFull,
                    _ => {
                        return Err(format!(
                            "`sslmode={value}` is not a mode; use disable, prefer, require, verify-ca or verify-full"
                        ));
                    }
                });
            }
            "sslrootcert" => parts.server.ca_file = Some(value.into()),
            "sslcert" => parts.server.cert_file = Some(value.into()),
            "sslkey" => parts.server.key_file = Some(value.into()),
            "host" => parts.host(&value),
            "port" => parts.port(&value)?,
            "user" => parts.server.user = value,
            "password" => parts.server.password = Some(Password(value)),
            "dbname" => parts.server.database = value,
            name if POSTGRES_IRRELEVANT.contains(&name) => {}
            name => return Err(unknown(name)),
        }
    }
    Ok(parts.server)
}

/// Reads `user:password@tcp(host:port)/database?tls=…` or `…@unix(/path)/…` as Go's driver does, taking every character
/// as it is, and `user:password@host:port/database`, percent-encoded.
pub(super) fn mysql(text: &str) -> Result<Server, String> {
    // As in Go's driver the last slash outside the options is the one before the database; a password may have some.
    let (rest, tail) = match text.rfind(')').or_else(|| text.rfind('@')) {
        Some(at) => match text[at..].find('/') {
            Some(slash) => (&text[..at + slash], &text[at + slash + 1..]),
            None => text
                .split_once('?')
                .map_or((text, ""), |(rest, _)| (rest, &text[rest.len()..])),
        },
        None => text.split_once('/').unwrap_or((text, "")),
    };
    let (database, query) = tail.split_once('?').unwrap_or((tail, ""));
    let mut parts = Parts::new("mysql", MYSQL_PORT, "root");
    let (credentials, network) = rest.rsplit_once('@').unwrap_or(("", rest));
    match network.strip_suffix(')').and_then(|network| network.split_once('(')) {
        Some((network, address)) => {
            if !credentials.is_empty() {
                let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
                user.clone_into(&mut parts.server.user);
                parts.server.password = (!password.is_empty()).then(|| Password(password.to_owned()));
            }
            match network {
                "tcp" => parts.host_and_port(address)?,
                "unix" => parts.server.address = Address::Unix(PathBuf::from(address), MYSQL_PORT),
                network => {
                    return Err(format!(
                        "`{network}(…)` is not a network; write tcp(host:port) or unix(/path/mysqld.sock)"
                    ));
                }
            }
        }
        None => parts.authority(rest)?,
    }
    if !database.is_empty() {
        parts.server.database = decode(database, "the database")?;
    }
    for (name, value) in options(query) {
        let value = decode(value, name)?;
        match name {
            "tls" => {
                parts.server.tls = Some(match value.as_str() {
                    "false" => TlsMode::Disable,
                    "preferred" => TlsMode::Prefer,
                    "skip-verify" => TlsMode::Require,
                    "true" => TlsMode::VerifyFull,
                    _ => {
                        return Err(format!(
                            "`tls={value}` is not a mode; use false, preferred, skip-verify or true"
                        ));
                    }
                });
            }
            name if MYSQL_IRRELEVANT.contains(&name) => {}
            name => return Err(unknown(name)),
        }
    }
    Ok(parts.server)
}

/// A server whose parts are filled in as they are read.
struct Parts {
    server: Server,
    port: u16,
}

impl Parts {
    fn new(scheme: &'static str, port: u16, user: &str) -> Self {
        Self {
            server: Server {
                scheme,
                address: Address::Tcp("localhost".into(), port),
                user: user.to_owned(),
                password: None,
                database: DEFAULT_DATABASE.into(),
                tls: None,
                ca_file: None,
                cert_file: None,
                key_file: None,
            },
            port,
        }
    }

    /// `user:password@host:port`, percent-encoded.
    fn authority(&mut self, text: &str) -> Result<(), String> {
        let (credentials, host) = text.rsplit_once('@').unwrap_or(("", text));
        if !credentials.is_empty() {
            let (user, password) = match credentials.split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (credentials, None),
            };
            self.server.user = decode(user, "the user")?;
            if let Some(password) = password {
                self.server.password = Some(Password(decode(password, "the password")?));
            }
        }
        self.host_and_port(host)
    }

    fn host_and_port(&mut self, text: &str) -> Result<(), String> {
        if text.contains(',') {
            return Err(
                "the endpoint names several servers; name one, which may be a name with several addresses".into(),
            );
        }
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        if let Some(port) = port {
            self.port(port)?;
        }
        let host = decode(host, "the host")?;
        if !host.is_empty() {
            self.host(&host);
        }
        Ok(())
    }

    fn host(&mut self, host: &str) {
        self.server.address = if host.starts_with('/') {
            Address::Unix(PathBuf::from(host), self.port)
        } else {
            Address::Tcp(host.to_owned(), self.port)
        };
    }

    fn port(&mut self, text: &str) -> Result<(), String> {
        self.port = text
            .parse()
            .map_err(|_| "the endpoint's port is not a number between 0 and 65535; write host:port".to_owned())?;
        match &mut self.server.address {
            Address::Tcp(_, port) | Address::Unix(_, port) => *port = self.port,
        }
        Ok(())
    }
}

fn options(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .filter(|option| !option.is_empty())
        .map(|option| option.split_once('=').unwrap_or((option, "")))
}

fn unknown(name: &str) -> String {
    format!("the endpoint has an option `{name}`, which is not supported; leave it out")
}

/// Undoes percent-encoding.
fn decode(text: &str, what: &str) -> Result<String, String> {
    let wrong = || format!("{what} in the endpoint is not percent-encoded correctly; write a % as %25");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).ok_or_else(wrong);
            let code = digit(rest.next())? * 16 + digit(rest.next())?;
            bytes.push(u8::try_from(code).map_err(|_| wrong())?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp(host.into(), port)
    }

    fn unix(path: &str, port: u16) -> Address {
        Address::Unix(path.into(), port)
    }

    type Row<'a> = (&'a str, Address, &'a str, Option<&'a str>, &'a str, Option<TlsMode>);

    fn check(read: fn(&str) -> Result<Server, String>, rows: Vec<Row<'_>>) {
        for (text, address, user, password, database, tls) in rows {
            let server = read(text).expect(text);
            assert_eq!(server.address, address, "{text}");
            let read = server.password.as_ref().map(|password| password.0.as_str());
            assert_eq!((server.user.as_str(), read), (user, password), "{text}");
            assert_eq!((server.database.as_str(), server.tls), (database, tls), "{text}");
        }
    }

    #[test]
    fn reads_postgres_urls() {
        let full = Some(TlsMode::VerifyFull);
        check(
            postgres,
            vec![
                ("", tcp("localhost", 5432), "postgres", None, "kubernetes", None),
                ("u:p@h:1/db", tcp("h", 1), "u", Some("p"), "db", None),
                ("u:p%40%2f@h/DB", tcp("h", 5432), "u", Some("p@/"), "db", None),
                ("u@h?sslmode=verify-full", tcp("h", 5432), "u", None, "kubernetes", full),
                ("u@[::1]:7/db", tcp("::1", 7), "u", None, "db", None),
                ("u@%2Frun%2Fpg/db", unix("/run/pg", 5432), "u", None, "db", None),
                ("u@:7/db?host=/run/pg", unix("/run/pg", 7), "u", None, "db", None),
                (
                    "/db?host=/run/pg&user=u&port=7",
                    unix("/run/pg", 7),
                    "u",
                    None,
                    "db",
                    None,
                ),
            ],
        );
        let server = postgres("h/db?sslrootcert=/ca&sslcert=/c&sslkey=/k").expect("files");
        let files = [server.ca_file, server.cert_file, server.key_file];
        assert_eq!(files, ["/ca", "/c", "/k"].map(|file| Some(PathBuf::from(file))));
    }

    #[test]
    fn reads_mysql_names_of_both_kinds() {
        let skip = Some(TlsMode::Require);
        check(
            mysql,
            vec![
                ("u:p@tcp(h:1)/db", tcp("h", 1), "u", Some("p"), "db", None),
                (
                    "u:p@:/%@tcp(h)/db?tls=skip-verify",
                    tcp("h", 3306),
                    "u",
                    Some("p@:/%"),
                    "db",
                    skip,
                ),
                (
                    "u@unix(/run/my.sock)/db",
                    unix("/run/my.sock", 3306),
                    "u",
                    None,
                    "db",
                    None,
                ),
                ("tcp([::1]:7)/", tcp("::1", 7), "root", None, "kubernetes", None),
                ("u:p%40@h:1/db?parseTime=true", tcp("h", 1), "u", Some("p@"), "db", None),
                ("u@h", tcp("h", 3306), "u", None, "kubernetes", None),
                ("h/db", tcp("h", 3306), "root", None, "db", None),
            ],
        );
    }

    #[test]
    fn refuses_mistakes_without_repeating_the_password() {
        type Read = fn(&str) -> Result<Server, String>;
        for (read, text, part) in [
            (postgres as Read, "u:secret@h:port/db", "port"),
            (postgres, "u:secret%zz@h/db", "the password"),
            (postgres, "u:secret@h/db?sslmode=maybe", "sslmode=maybe"),
            (postgres, "u:secret@h/db?nonsense=1", "`nonsense`"),
            (postgres, "u:secret@a,b/db", "several servers"),
            (mysql, "u:secret@pipe(x)/db", "pipe(…)"),
            (mysql, "u:secret@tcp(h)/db?tls=maybe", "tls=maybe"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(part), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
