//! What the server's errors mean.

use mysql_async::{DriverError, Error, IoError};

use super::super::Fault;

/// Whether a connection is of no use any more after an error.
pub(super) fn ends_connection(error: &Error) -> bool {
    match error {
        Error::Server(error) => LOST.contains(&error.code),
        _ => true,
    }
}

/// Whether the server has undone a transaction to let another one go on.
pub(super) fn is_deadlock(error: &Error) -> bool {
    matches!(error, Error::Server(error) if error.code == 1213)
}

/// Whether the database that was named does not exist.
pub(super) fn is_unknown_database(error: &Error) -> bool {
    matches!(error, Error::Server(error) if error.code == 1049)
}

/// Whether the server has no TLS.
pub(super) fn is_without_tls(error: &Error) -> bool {
    matches!(error, Error::Driver(DriverError::NoClientSslFlagFromServer))
}

/// Codes after which the server talks no more: shut down, killed, gone, lost.
const LOST: [u16; 9] = [1053, 1077, 1079, 1152, 1159, 1161, 1927, 2006, 2013];
/// Codes of a full disk or table space.
const FULL: [u16; 3] = [1021, 1114, 3675];
/// Codes of damaged tables.
const DAMAGED: [u16; 6] = [1033, 1034, 1035, 1194, 1712, 1877];
/// Codes of waits for a lock that were given up.
const BUSY: [u16; 4] = [1205, 1213, 1614, 3058];
/// Codes of servers that only read.
const READ_ONLY: [u16; 3] = [1290, 1792, 1836];

/// The fault an error stands for.
pub(super) fn fault(error: &Error) -> Fault {
    match error {
        Error::Server(server) => {
            let text = format!("{} (error {})", server.message, server.code);
            match server.code {
                code if LOST.contains(&code) => Fault::Lost(text),
                code if FULL.contains(&code) || is_full_disk(&server.message) => Fault::NoSpace(text),
                code if DAMAGED.contains(&code) => Fault::Damaged(text),
                code if BUSY.contains(&code) => Fault::Busy(text),
                code if READ_ONLY.contains(&code) => Fault::Other(format!(
                    "the server is read-only; name the one that takes writes: {text}"
                )),
                _ => Fault::Other(text),
            }
        }
        Error::Io(IoError::Io(error)) => Fault::Lost(error.to_string()),
        Error::Io(error @ IoError::Tls(_)) => Fault::Lost(error.to_string()),
        Error::Driver(DriverError::PacketTooLarge) => {
            Fault::Other("a value is larger than the server's max_allowed_packet; raise that".into())
        }
        Error::Driver(DriverError::NoClientSslFlagFromServer) => {
            Fault::Other("the server does not speak TLS; turn it on there, or off in the endpoint".into())
        }
        Error::Driver(DriverError::UnknownAuthPlugin { name }) => Fault::Other(format!(
            "the server wants to authenticate the user with plugin `{name}`, which is not supported; use another one \
             for this user, such as mysql_native_password or caching_sha2_password"
        )),
        error => Fault::Lost(error.to_string()),
    }
}

/// Why a connection could not be made. Trying again helps in all cases, sooner or later.
pub(super) fn refusal(error: &Error) -> Fault {
    match error {
        Error::Server(server) => {
            let advice = match server.code {
                1045 | 1698 => "the user or the password is wrong",
                1044 => "the user has no rights on the database",
                1049 => "the database does not exist and the user may not create it",
                1040 | 1203 => "the server has too many connections",
                1129 | 1130 => "the server does not let this host in",
                _ => return fault(error),
            };
            Fault::Lost(format!("{advice}: {} (error {})", server.message, server.code))
        }
        error => fault(error),
    }
}

/// Some errors carry the system's number for a full disk in their text only.
fn is_full_disk(message: &str) -> bool {
    ["errno: 28", "Errcode: 28", "error 28", "No space left on device"]
        .iter()
        .any(|part| message.contains(part))
}

#[cfg(test)]
mod tests {
    use mysql_async::ServerError;

    use super::*;

    fn server(code: u16, message: &str) -> Error {
        Error::Server(ServerError {
            code,
            message: message.into(),
            state: "HY000".into(),
        })
    }

    #[test]
    fn errors_of_the_server_are_told_apart() {
        type Kind = fn(&Fault) -> bool;
        let rows: [(u16, &str, Kind); 8] = [
            (1021, "Disk full", |fault| matches!(fault, Fault::NoSpace(_))),
            (1114, "The table 'kine' is full", |fault| {
                matches!(fault, Fault::NoSpace(_))
            }),
            (
                1030,
                "Got error 28 \"No space left on device\" from storage engine",
                |fault| matches!(fault, Fault::NoSpace(_)),
            ),
            (1205, "Lock wait timeout exceeded", |fault| {
                matches!(fault, Fault::Busy(_))
            }),
            (1213, "Deadlock found", |fault| matches!(fault, Fault::Busy(_))),
            (1194, "Table is marked as crashed", |fault| {
                matches!(fault, Fault::Damaged(_))
            }),
            (1053, "Server shutdown in progress", |fault| {
                matches!(fault, Fault::Lost(_))
            }),
            (
                1290,
                "--read-only",
                |fault| matches!(fault, Fault::Other(text) if text.contains("takes writes")),
            ),
        ];
        for (code, message, is) in rows {
            let found = fault(&server(code, message));
            assert!(is(&found), "{code}: {found}");
            assert!(found.to_string().contains(message), "{found}");
        }
        assert!(ends_connection(&server(1053, "")) && !ends_connection(&server(1205, "")));
    }

    #[test]
    fn refusals_say_what_to_look_at() {
        for (code, part) in [(1045, "password"), (1049, "does not exist"), (1040, "too many")] {
            assert!(refusal(&server(code, "…")).to_string().contains(part));
        }
    }
}
