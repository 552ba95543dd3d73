//! Links a program with the C library inside it. The memory of a service without work is mostly pages of code, and of a
//! shared C library the kernel maps many more than are used.
//!
//! rustc's own switch for that (`crt-static`) is for everything that is built, procedural macros included, which have to be
//! shared libraries. So only the linker is told, and only for the program: where to find the libraries that rustc names
//! before it looks for the shared ones. Names of hosts are resolved as ever: glibc has had files and DNS inside it since
//! version 2.34.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What rustc asks for, and what takes its place.
const LIBRARIES: [(&str, &str); 3] = [("c", "c"), ("m", "m"), ("gcc_s", "gcc_eh")];

/// Tells Cargo, from the build script of a program, to link that way. Where the C library is not there in its static form, a
/// warning says so, and the program uses shared libraries.
///
/// # Errors
/// Not run by Cargo, or the C compiler that links cannot be asked where its libraries are.
pub fn c_library_inside() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |variable: &str, value: &str| env::var(variable).is_ok_and(|found| found == value);
    let native = env::var_os("HOST") == env::var_os("TARGET");
    if !(native && is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu")) {
        return Ok(());
    }
    let directory = PathBuf::from(env::var("OUT_DIR")?);
    for (name, instead) in LIBRARIES {
        let Some(library) = find(instead)? else {
            println!("cargo::warning=lib{instead}.a is not installed: the program will use shared libraries");
            return Ok(());
        };
        // A linker script in the place of a library stands for what it names.
        fs::write(
            directory.join(format!("lib{name}.a")),
            format!("INPUT({})\n", library.display()),
        )?;
    }
    println!("cargo::rustc-link-arg-bins=-L{}", directory.display());
    println!("cargo::rustc-link-arg-bins=-static-pie");
    Ok(())
}

/// The static form of a library, if the linker can find it.
fn find(name: &str) -> Result<Option<PathBuf>, Box<dyn Error>> {
    let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
    let said = Command::new(compiler)
        .arg(format!("-print-file-name=lib{name}.a"))
        .output()?;
    // What is not found is repeated as it was asked for.
    let path = PathBuf::from(String::from_utf8(said.stdout)?.trim_end());
    Ok(Some(path).filter(|path| Path::is_absolute(path)))
}
