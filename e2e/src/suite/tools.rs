//! Programs of others that scripts of `hack/` put in the target directory.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::binary;

/// A program below the target directory, which `script` puts there with the help of `needs`; none when it could not, which is
/// said. Continuous integration insists on it where that help is installed.
///
/// # Errors
/// It is missing in continuous integration.
pub fn tool(path: &str, script: &str, needs: &str) -> Result<Option<PathBuf>> {
    let own = binary("apiserver")?;
    let target = own.parent().and_then(|profile| profile.parent());
    let program = target.context("no target directory")?.join(path);
    if program.exists() {
        return Ok(Some(program));
    }
    ensure!(
        std::env::var("CI").as_deref() != Ok("true") || !is_installed(needs),
        "{} is missing: {script} could not install it",
        program.display()
    );
    println!(
        "    skipped: {} is missing; {script} installs it with {needs}",
        program.display()
    );
    Ok(None)
}

fn is_installed(command: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(command).exists())
}
