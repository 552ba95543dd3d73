use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::kinds::{Kind, Side};
use crate::testing::fake::Fake;

/// A program that plays Helm: every release is a file with its revision and state. It writes down how it is called, and
/// fails with a verb that a file tells it to fail with.
const HELM: &str = r#"#!/bin/sh
here=$(dirname "$0")
echo "$@" >> "$here/calls"
verb=$1
if [ -e "$here/fail-$verb" ]; then
  state=$(cat "$here/fail-$verb")
  [ -z "$state" ] || echo "$state" > "$here/release-$3"
  echo "Error: no $verb, says swordfish" >&2
  exit 1
fi
case $verb in
  status)
    if [ -e "$here/release-$2" ]; then
      read -r revision state < "$here/release-$2"
      echo "{\"info\": {\"status\": \"$state\"}, \"version\": $revision}"
    else
      echo "Error: release: not found" >&2
      exit 1
    fi ;;
  install) cat > "$here/values-$3"; echo "1 deployed" > "$here/release-$3" ;;
  upgrade) cat > "$here/values-$3"; echo "2 deployed" > "$here/release-$3" ;;
  rollback) echo "3 deployed" > "$here/release-$2" ;;
  uninstall)
    rm "$here/release-$2" || { echo "Error: uninstall: release: not found" >&2; exit 1; } ;;
  repo)
    while [ "$1" != --repository-config ]; do shift; done
    cat "$2" > "$here/repositories" ;;
  pull)
    while [ "$1" != --destination ]; do
      [ "$1" != --registry-config ] || cat "$2" > "$here/registry"
      shift
    done
    echo chart > "$2/web-1.0.0.tgz" ;;
esac
"#;

struct Place {
    directory: TempDir,
    fake: Fake,
    api: Api,
    helm: Helm,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("helm");
        fs::write(&program, HELM).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let helm = Helm::new(&program, &directory.path().join("admin.conf")).unwrap();
        let fake = Fake::new();
        for name in ["kube-system", "default"] {
            fake.put(Kind::Namespace, json!({"metadata": {"name": name}}));
        }
        let api = Api::new(Side::Virtual, fake.client(), Default::default());
        Self {
            directory,
            fake,
            api,
            helm,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// The verbs since the last time.
    fn verbs(&self) -> Vec<String> {
        let calls = self.read("calls");
        let _ = fs::remove_file(self.file("calls"));
        calls
            .lines()
            .map(|call| call.split(' ').next().unwrap().to_owned())
            .collect()
    }

    async fn pass(&self, wanted: Value) -> Result<(), String> {
        let wanted: Vec<ChartRelease> = serde_json::from_value(wanted).unwrap();
        super::super::run(&self.api, "", wanted.len()).await?;
        pass(&self.api, &self.helm, &wanted).await
    }

    fn status(&self) -> Value {
        let map = self
            .fake
            .get(Kind::ConfigMap, "kube-system", "vcluster-deploy")
            .unwrap();
        serde_json::from_str(
            map["metadata"]["annotations"]["vcluster.loft.sh/status"]
                .as_str()
                .unwrap(),
        )
        .unwrap()
    }
}

fn web(values: &str) -> Value {
    let chart = json!({"name": "web", "repo": "https://charts.example.com", "username": "u", "password": "swordfish"});
    json!({"chart": chart, "release": {"namespace": "shop"}, "values": values})
}

#[tokio::test]
async fn releases_follow_the_configuration() {
    let place = Place::new();
    assert_eq!(place.pass(json!([web("a: 1")])).await, Ok(()));
    assert_eq!(place.verbs(), ["status", "repo", "pull", "install"]);
    assert_eq!(place.read("values-web"), "a: 1");
    let status = place.status();
    assert_eq!(
        (&status["phase"], &status["charts"][0]["phase"]),
        (&json!("Success"), &json!("Success"))
    );
    assert_eq!(
        (&status["charts"][0]["name"], &status["charts"][0]["namespace"]),
        (&json!("web"), &json!("shop"))
    );

    assert_eq!(place.pass(json!([web("a: 1")])).await, Ok(()));
    assert_eq!(place.verbs(), ["status"], "nothing has changed");
    assert_eq!(place.pass(json!([web("a: 2")])).await, Ok(()));
    assert_eq!(place.verbs(), ["status", "repo", "pull", "upgrade"]);
    assert_eq!(place.read("values-web"), "a: 2");
    assert_ne!(
        place.status()["charts"][0]["lastAppliedChartConfigHash"],
        status["charts"][0]["lastAppliedChartConfigHash"]
    );

    let bundle = json!({"bundle": "H4sIAAAA", "release": {"name": "other"}});
    assert_eq!(place.pass(json!([bundle])).await, Ok(()));
    assert_eq!(
        place.verbs(),
        ["status", "install", "uninstall"],
        "a bundle is not fetched"
    );
    let status = place.status();
    assert_eq!(status["charts"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&status["phase"], &status["charts"][0]["name"]),
        (&json!("Success"), &json!("other"))
    );
    assert_eq!(place.pass(json!([])).await, Ok(()));
    assert!(place.status().get("charts").is_none());
}

#[tokio::test]
async fn secrets_are_in_files_only() {
    let place = Place::new();
    fs::write(place.file("fail-install"), "").unwrap();
    let problem = place.pass(json!([web("")])).await.unwrap_err();
    assert_eq!(problem, "release shop/web: helm install: no install, says ***");
    assert!(place.read("repositories").contains(r#""password":"swordfish""#));
    let calls = place.read("calls");
    assert!(!calls.contains("swordfish"), "{calls}");
    fs::write(place.file("fail-pull"), "").unwrap();
    let problem = place.pass(json!([web("")])).await.unwrap_err();
    assert_eq!(problem, "release shop/web: helm pull: no pull, says ***");

    fs::remove_file(place.file("fail-pull")).unwrap();
    fs::remove_file(place.file("fail-install")).unwrap();
    let mut registry = web("");
    registry["chart"]["repo"] = json!("oci://registry.example.com:5000/charts");
    registry["chart"]["version"] = json!("1.2.3");
    registry["chart"]["insecure"] = json!(true);
    place.verbs();
    assert_eq!(place.pass(json!([registry])).await, Ok(()));
    assert_eq!(
        place.read("registry"),
        r#"{"auths":{"registry.example.com:5000":{"auth":"dTpzd29yZGZpc2g="}}}"#
    );
    let calls = place.read("calls");
    let pull = calls.lines().find(|call| call.starts_with("pull")).unwrap();
    assert!(
        pull.starts_with("pull oci://registry.example.com:5000/charts/web "),
        "{pull}"
    );
    assert!(pull.ends_with("--version=1.2.3 --insecure-skip-tls-verify"), "{pull}");
    assert_eq!(
        fs::read_dir(place.helm.home()).unwrap().count(),
        0,
        "nothing is left behind"
    );
}

#[tokio::test]
async fn what_fails_is_taken_back_noted_and_tried_again() {
    let place = Place::new();
    let fails = |verb: &str, state: &str| fs::write(place.file(&format!("fail-{verb}")), state).unwrap();
    let works = |verb: &str| fs::remove_file(place.file(&format!("fail-{verb}"))).unwrap();
    fails("pull", "");
    place.pass(json!([web("")])).await.unwrap_err();
    let status = place.status();
    assert_eq!(
        (&status["phase"], &status["reason"]),
        (&json!("Failed"), &json!("ChartPullFailed"))
    );
    assert_eq!(status["message"], "release shop/web: helm pull: no pull, says ***");
    works("pull");

    // What was never complete goes.
    fails("install", "1 pending-install");
    place.pass(json!([web("")])).await.unwrap_err();
    assert_eq!(place.status()["charts"][0]["reason"], "InstallFailed");
    assert!(!place.file("release-web").exists());
    // A release that failed stays, and the next attempt changes it.
    fails("install", "1 failed");
    place.pass(json!([web("")])).await.unwrap_err();
    assert_eq!(place.read("release-web"), "1 failed\n");
    works("install");
    place.verbs();
    assert_eq!(place.pass(json!([web("")])).await, Ok(()));
    assert_eq!(place.verbs(), ["status", "repo", "pull", "upgrade"]);
    assert_eq!(place.status()["phase"], "Success");

    // What worked once is brought back; that it does no longer say so makes the next attempt one in earnest.
    fails("upgrade", "2 failed");
    place
        .pass(json!([web("a: 2"), web("never: reached")]))
        .await
        .unwrap_err();
    let status = place.status();
    assert_eq!(status["charts"][0]["reason"], "UpgradeFailed");
    assert_eq!(place.read("release-web"), "3 deployed\n");
    works("upgrade");
    place.verbs();
    assert_eq!(place.pass(json!([web("")])).await, Ok(()));
    assert_eq!(place.verbs(), ["status", "repo", "pull", "upgrade"]);

    fails("uninstall", "");
    let problem = place.pass(json!([])).await.unwrap_err();
    assert!(
        problem.contains("which is no longer among them: helm uninstall: no uninstall"),
        "{problem}"
    );
    assert_eq!(place.status()["reason"], "UninstallFailed");
    works("uninstall");
    fs::remove_file(place.file("release-web")).unwrap();
    assert_eq!(
        place.pass(json!([])).await,
        Ok(()),
        "what somebody else removed is gone, too"
    );
}

#[tokio::test]
async fn a_program_that_does_not_end_is_ended() {
    let place = Place::new();
    fs::write(place.file("helm"), "#!/bin/sh\nexec sleep 600\n").unwrap();
    let problem = place
        .helm
        .run(Call::of(&["pull"]), Duration::from_millis(50))
        .await
        .unwrap_err();
    assert_eq!(problem, "helm pull has not ended after 0 seconds");
    let missing = Helm::new(&place.file("none"), &place.file("admin.conf")).unwrap();
    let problem = missing.status("web", "shop").await.unwrap_err();
    assert!(
        problem.starts_with("cannot start ") && problem.contains("none: "),
        "{problem}"
    );
}

#[test]
fn the_digest_is_the_one_of_vcluster() {
    let release: ChartRelease = serde_json::from_value(json!({
        "chart": {"name": "web", "repo": "https://charts.example.com", "version": ">=1.0 <2 & more"},
        "values": "a: \"b\"\nü: \u{2028}\n",
    }))
    .unwrap();
    assert_eq!(digest(&release), "d2743708088d4c0c198f3a06dcba9de8");
}
