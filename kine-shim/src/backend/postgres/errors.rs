//! What PostgreSQL's errors mean.

use std::error::Error as _;

use tokio_postgres::{Error, error::SqlState};

use crate::backend::Fault;

/// What went wrong, with nothing of the statement done.
pub(super) fn fault(error: &Error) -> Fault {
    let text = text(error);
    let Some(code) = error.code() else {
        return if error.is_closed() || is_io(error) {
            Fault::Lost(text)
        } else {
            Fault::Other(text)
        };
    };
    match code.code() {
        _ if *code == SqlState::DISK_FULL => Fault::NoSpace(text),
        "XX001" | "XX002" => Fault::Damaged(text),
        // A lock that is not to be had, a deadlock, a serialization failure.
        "55P03" | "40P01" | "40001" => Fault::Busy(text),
        // The server goes down, comes up, has no place left, gave up on us, or is a stand-by by now.
        "25006" | "25P03" | "53300" => Fault::Lost(text),
        code if code.starts_with("08") || code.starts_with("57P") => Fault::Lost(text),
        _ => Fault::Other(text),
    }
}

/// What went wrong when a commit was asked for.
pub(super) fn commit_fault(error: &Error) -> Fault {
    match fault(error) {
        // The server may have committed before it went down.
        Fault::Lost(text) => Fault::Unknown(text),
        fault => fault,
    }
}

/// Whether the server refused to do something, in contrast to not being heard any more.
pub(super) fn is_answer(error: &Error) -> bool {
    error.code().is_some()
}

fn is_io(error: &Error) -> bool {
    error.source().is_some_and(|source| source.is::<std::io::Error>())
}

/// The error as one line: the server's message with its code, or what broke the connection.
pub(super) fn text(error: &Error) -> String {
    if let Some(answer) = error.as_db_error() {
        return format!("{} (SQLSTATE {})", answer.message(), answer.code().code());
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
