//! Errors that end a process, and the exit code each of them means.

use std::process::ExitCode;

/// The caller's fault: a flag, a file or a configuration that cannot be used. Ends the process with exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// An error that ends the process with exit code 2. `message` is one sentence that names the flag, file or field and
/// says what to do.
pub fn usage(message: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Usage(message.into()))
}

/// 2 when a [`Usage`] or [`crate::tls::TlsError`] about a file is anywhere in the chain, else 1.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(code(error))
}

fn code(error: &anyhow::Error) -> u8 {
    let misuse = error
        .chain()
        .any(|cause| cause.is::<Usage>() || cause.is::<crate::tls::TlsError>());
    if misuse { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn usage_errors_keep_their_code_under_context() {
        let wrapped = Err::<(), _>(usage("--port must not be 0"))
            .context("cannot start")
            .unwrap_err();
        assert_eq!(code(&wrapped), 2);
        assert_eq!(format!("{wrapped:#}"), "cannot start: --port must not be 0");
        assert_eq!(code(&anyhow::anyhow!("disk full")), 1);
    }
}
