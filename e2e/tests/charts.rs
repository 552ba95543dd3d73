//! What vcluster.yaml has released in the virtual cluster: a chart that it brings along and one from a repository that asks who
//! wants it; and a manifest made from a template.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{fs, thread};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::suite::{Case, World, binary, configured, eventually, tool};
use serde_json::{Value, json};

const CASES: &[Case] = &[
    ("charts_are_released", charts_are_released),
    ("templates_are_rendered", templates_are_rendered),
    ("releases_follow_the_configuration", releases_follow_the_configuration),
];

const PASSWORD: &str = "swordfish";

fn main() -> ExitCode {
    match prepare() {
        Ok(Some(values)) => configured("charts", 1, &values, CASES),
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("charts: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The vcluster.yaml; none where Helm is not installed, which is said.
fn prepare() -> Result<Option<String>> {
    let Some(helm) = tool("go-clients/helm", "hack/go-clients.sh", "go")? else {
        return Ok(None);
    };
    // Where the playground looks for it.
    let beside = binary("vcluster")?.with_file_name("helm");
    if !beside.exists() {
        std::os::unix::fs::symlink(&helm, &beside).with_context(|| format!("cannot make {}", beside.display()))?;
    }
    let dir = tempfile::tempdir()?;
    let bundle = fs::read(archive(&helm, dir.path(), "carried")?)?;
    let served = archive(&helm, dir.path(), "served")?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    let index = json!({"apiVersion": "v1", "entries": {"served": [
        {"apiVersion": "v2", "name": "served", "version": "1.0.0", "urls": [format!("{url}/served-1.0.0.tgz")]},
    ]}});
    serve(listener, index.to_string().into_bytes(), fs::read(served)?);
    let values = json!({"experimental": {"deploy": {"vcluster": {
        "manifestsTemplate": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: made}\ndata: {of: {{ .Release.Name }}, in: \
                              {{ .Release.Namespace }}, domain: {{ .Values.networking.advanced.clusterDomain }}}\n",
        "helm": [
            {"bundle": STANDARD.encode(bundle), "release": {"name": "first", "namespace": "one"}, "values": "message: hello"},
            {"chart": {"name": "served", "repo": url, "version": "1.0.0", "username": "me", "password": PASSWORD}},
        ],
    }}}});
    Ok(Some(values.to_string()))
}

/// The archive of a chart with one ConfigMap.
fn archive(helm: &Path, dir: &Path, name: &str) -> Result<PathBuf> {
    let chart = dir.join(name);
    fs::create_dir_all(chart.join("templates"))?;
    fs::write(
        chart.join("Chart.yaml"),
        format!("{{apiVersion: v2, name: {name}, version: 1.0.0}}"),
    )?;
    fs::write(chart.join("values.yaml"), "message: default")?;
    fs::write(
        chart.join("templates/map.yaml"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\ndata: {message: {{ .Values.message }}}\n",
    )?;
    let output = Command::new(helm)
        .args(["package", "--destination"])
        .args([dir, &chart])
        .env("HOME", dir)
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(dir.join(format!("{name}-1.0.0.tgz")))
}

/// Serves the repository to those who say who they are, until the process ends.
fn serve(listener: TcpListener, index: Vec<u8>, chart: Vec<u8>) {
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            // A client that goes away asks again.
            let _ = answer(connection, &index, &chart);
        }
    });
}

fn answer(mut connection: TcpStream, index: &[u8], chart: &[u8]) -> std::io::Result<()> {
    let mut lines = Vec::new();
    for line in BufReader::new(&connection).lines() {
        match line? {
            line if line.is_empty() => break,
            line => lines.push(line),
        }
    }
    let login = format!("authorization: Basic {}", STANDARD.encode(format!("me:{PASSWORD}")));
    let knows = lines.iter().any(|line| line.eq_ignore_ascii_case(&login));
    let (status, body) = match lines.first().and_then(|line| line.split(' ').nth(1)) {
        _ if !knows => ("401 Unauthorized", &b""[..]),
        Some("/index.yaml") => ("200 OK", index),
        Some("/served-1.0.0.tgz") => ("200 OK", chart),
        _ => ("404 Not Found", &b""[..]),
    };
    write!(
        connection,
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )?;
    connection.write_all(body)
}

/// What is noted of the deployment, once it has succeeded.
fn success(world: &World, charts: usize) -> Result<Value> {
    let virtual_ = world.kubectl("vc-1")?;
    eventually("the outcome is noted", || {
        let noted = virtual_.json(&["-n", "kube-system", "get", "configmap", "vcluster-deploy"])?;
        let status = noted["metadata"]["annotations"]["vcluster.loft.sh/status"].as_str();
        let status: Value = serde_json::from_str(status.unwrap_or_default())?;
        let count = status["charts"].as_array().map_or(0, Vec::len);
        ensure!(status["phase"] == "Success" && count == charts, "{status}");
        Ok(Some(status))
    })
}

fn message(world: &World, namespace: &str, name: &str) -> Result<String> {
    let path = "jsonpath={.data.message}";
    world
        .kubectl("vc-1")?
        .run(&["-n", namespace, "get", "configmap", name, "-o", path])
}

fn charts_are_released(world: &World) -> Result<()> {
    let status = success(world, 2)?;
    let charts = status["charts"].as_array().context("no charts")?.iter();
    let releases: Vec<String> = charts
        .map(|chart| format!("{}/{} {}", chart["namespace"], chart["name"], chart["phase"]).replace('"', ""))
        .collect();
    ensure!(
        releases == ["one/first Success", "default/served Success"],
        "{releases:?}"
    );
    ensure!(message(world, "one", "first")? == "hello");
    ensure!(message(world, "default", "served")? == "default");
    let label = "owner=helm,name=served";
    let releases = world.kubectl("vc-1")?.names(&["get", "secrets", "-l", label])?;
    ensure!(releases.len() == 1, "{releases:?}");
    let (_, arguments) = world.command_line("vc-1/syncer")?;
    ensure!(
        arguments.iter().all(|argument| !argument.contains(PASSWORD)),
        "{arguments:?}"
    );
    Ok(())
}

fn templates_are_rendered(world: &World) -> Result<()> {
    let virtual_ = world.kubectl("vc-1")?;
    let made = eventually("the template's object is there", || {
        Ok(virtual_.json(&["get", "configmap", "made"]).ok())
    })?;
    let expected = json!({"of": "vc-1", "in": world.host_namespace("vc-1")?, "domain": "cluster.local"});
    ensure!(made["data"] == expected, "{made}");
    Ok(())
}

/// Another vcluster.yaml is read at the next start.
fn releases_follow_the_configuration(world: &World) -> Result<()> {
    let (_, arguments) = world.command_line("vc-1/syncer")?;
    let file = arguments.iter().find_map(|argument| argument.strip_prefix("--config="));
    let file = file.context("the syncer has no --config")?;
    let mut values: Value = serde_yaml::from_str(&fs::read_to_string(file)?)?;
    let charts = &mut values["experimental"]["deploy"]["vcluster"]["helm"];
    charts[0]["values"] = json!("message: again");
    charts.as_array_mut().context("no charts")?.truncate(1);
    fs::write(file, values.to_string())?;
    world.crash("vc-1/syncer")?;
    success(world, 1)?;
    ensure!(message(world, "one", "first")? == "again");
    let left = world
        .kubectl("vc-1")?
        .names(&["get", "secrets,configmaps", "-l", "owner=helm"])?;
    ensure!(left.is_empty(), "{left:?}");
    ensure!(
        message(world, "default", "served").is_err(),
        "the removed release has left something"
    );
    Ok(())
}
