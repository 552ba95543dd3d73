//! Gets the archive of a chart: from its bundle, a registry, or a repository.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use config::{Chart, ChartRelease};
use serde_json::json;
use tempfile::TempDir;

use super::helm::{Call, Helm};

/// What the repository is called in the file that describes it.
const REPOSITORY: &str = "vcluster";

/// A chart on disk, as long as it is needed.
pub(super) struct Archive {
    pub(super) path: PathBuf,
    _directory: TempDir,
}

/// Gets the archive.
///
/// # Errors
/// It is not to be had; the sentence says why, without secrets.
pub(super) async fn fetch(helm: &Helm, release: &ChartRelease) -> Result<Archive, String> {
    let directory = tempfile::tempdir_in(helm.home())
        .map_err(|error| format!("cannot make a directory in {}: {error}", helm.home().display()))?;
    let path = match release.bundle() {
        Some(bundle) => {
            let path = directory.path().join("bundle.tgz");
            write(&path, &bundle)?;
            path
        }
        None => pull(helm, release, directory.path()).await?,
    };
    Ok(Archive {
        path,
        _directory: directory,
    })
}

async fn pull(helm: &Helm, release: &ChartRelease, directory: &Path) -> Result<PathBuf, String> {
    let chart = &release.chart;
    let archives = directory.join("archives");
    fs::create_dir(&archives).map_err(|error| format!("cannot make {}: {error}", archives.display()))?;
    let (source, secrets) = match chart.repo.strip_prefix("oci://") {
        Some(place) => registry(chart, place, directory)?,
        None => repository(helm, release, directory).await?,
    };
    let mut call = source.file("--destination", &archives).hides(&secrets);
    if !chart.version.is_empty() {
        call = call.and(&[&format!("--version={}", chart.version)]);
    }
    if chart.insecure {
        call = call.and(&["--insecure-skip-tls-verify"]);
    }
    helm.run(call, release.timeout()).await?;
    let unreadable = |error| format!("cannot read {}: {error}", archives.display());
    let mut found = fs::read_dir(&archives).map_err(unreadable)?;
    match found.next() {
        Some(file) => Ok(file.map_err(unreadable)?.path()),
        None => Err(format!("helm pull has brought no chart {}", chart.name)),
    }
}

/// How a registry is asked for the chart. Who asks stands in a file, where `helm registry login` would write it.
fn registry(chart: &Chart, place: &str, directory: &Path) -> Result<(Call, Vec<String>), String> {
    let file = directory.join("registry.json");
    let host = place.split('/').next().unwrap_or_default();
    let login = STANDARD.encode(format!("{}:{}", chart.username, chart.password.reveal()));
    let known = match chart.username.as_str() {
        "" => json!({"auths": {}}),
        _ => json!({"auths": {host: {"auth": login}}}),
    };
    write(&file, known.to_string().as_bytes())?;
    let url = format!("oci://{}/{}", place.trim_end_matches('/'), chart.name);
    let call = Call::of(&["pull", &url]).file("--registry-config", &file);
    Ok((call, vec![login, chart.password.reveal().to_owned()]))
}

/// How a repository is asked for the chart, after its index has been read. Who asks stands in the file that describes it.
async fn repository(helm: &Helm, release: &ChartRelease, directory: &Path) -> Result<(Call, Vec<String>), String> {
    let chart = &release.chart;
    let (file, cache) = (directory.join("repositories.yaml"), directory.join("cache"));
    let entry = json!({
        "name": REPOSITORY, "url": chart.repo, "username": chart.username, "password": chart.password.reveal(),
        "insecure_skip_tls_verify": chart.insecure,
    });
    // JSON is YAML, too.
    write(
        &file,
        json!({"apiVersion": "", "repositories": [entry]})
            .to_string()
            .as_bytes(),
    )?;
    let known = |call: Call| {
        call.file("--repository-config", &file)
            .file("--repository-cache", &cache)
    };
    let secrets = vec![chart.password.reveal().to_owned()];
    let index = known(Call::of(&["repo", "update", REPOSITORY, "--fail-on-repo-update-fail"])).hides(&secrets);
    helm.run(index, release.timeout()).await?;
    Ok((
        known(Call::of(&["pull", &format!("{REPOSITORY}/{}", chart.name)])),
        secrets,
    ))
}

/// Writes a file that nobody else may read.
fn write(path: &Path, content: &[u8]) -> Result<(), String> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    opened
        .and_then(|mut file| file.write_all(content))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}
