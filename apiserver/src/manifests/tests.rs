use super::*;
use std::fs;

/// A file that names a directory with this manifest for validating webhooks.
fn load(manifest: &str) -> Result<Vec<String>, String> {
    let dir = tempfile::tempdir().unwrap();
    let manifests = dir.path().join("manifests");
    fs::create_dir(&manifests).unwrap();
    fs::write(manifests.join("a.yaml"), manifest).unwrap();
    fs::write(manifests.join("ignored.txt"), "nothing: [").unwrap();
    let file = dir.path().join("admission.yaml");
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: ValidatingAdmissionWebhook
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: WebhookAdmissionConfiguration
    staticManifestsDir: {}
",
        manifests.display()
    );
    fs::write(&file, text).unwrap();
    let read = AdmissionFiles::load(Some(&file)).map_err(|error| error.to_string())?;
    assert!(read.fixed.mutating.all().is_empty());
    Ok(read
        .fixed
        .validating
        .all()
        .iter()
        .map(|hook| hook.uid().to_owned())
        .collect())
}

fn configuration(name: &str, client: &str, more: &str) -> String {
    format!(
        "apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {{name: {name}}}
webhooks:
- name: a.example.com
  clientConfig: {client}
  admissionReviewVersions: [v1]
  sideEffects: None
  rules: [{{operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*']}}]
{more}"
    )
}

const SOMEWHERE: &str = "{url: 'https://hooks.example/x'}";

#[test]
fn manifests_are_read_in_the_order_of_their_names() {
    let (b, a) = (
        configuration("b.static.k8s.io", SOMEWHERE, ""),
        configuration("a.static.k8s.io", SOMEWHERE, ""),
    );
    let hooks = load(&format!("{b}---\n{a}---\n")).unwrap();
    assert_eq!(
        hooks,
        [
            "manifest/a.static.k8s.io/a.example.com/0",
            "manifest/b.static.k8s.io/a.example.com/0"
        ]
    );
    assert!(load("").unwrap().is_empty());
    assert!(AdmissionFiles::load(None).unwrap().fixed.validating.all().is_empty());
}

#[test]
fn mistakes_name_the_file() {
    let service = "{service: {name: s, namespace: n}}";
    for (manifest, expected) in [
        (
            configuration("a", SOMEWHERE, ""),
            "must have a name ending with \".static.k8s.io\"",
        ),
        (configuration("''", SOMEWHERE, ""), "must have a name"),
        (
            configuration("a.static.k8s.io", service, ""),
            "clientConfig.service is not supported for static manifests",
        ),
        (
            configuration("a.static.k8s.io", "{url: 'http://x'}", ""),
            "'https' is the only allowed URL scheme",
        ),
        (
            configuration("a.static.k8s.io", SOMEWHERE, "  bogus: 1\n"),
            "unknown field \"webhooks[0].bogus\"",
        ),
        (
            configuration("a.static.k8s.io", SOMEWHERE, "").replace("Validating", "Mutating"),
            "unsupported resource type \"MutatingWebhookConfiguration\"",
        ),
        (
            format!("{0}---\n{0}", configuration("a.static.k8s.io", SOMEWHERE, "")),
            "duplicate name \"a.static.k8s.io\"",
        ),
        ("a: [".to_owned(), "error loading"),
    ] {
        let error = load(&manifest).unwrap_err();
        assert!(
            error.contains("--admission-control-config-file") && error.contains("a.yaml") && error.contains(expected),
            "{manifest}: {error}"
        );
    }
}

#[test]
fn the_file_itself_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("admission.yaml");
    let header = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\n";
    let webhooks = |field: &str| {
        format!(
            "{header}plugins: [{{name: MutatingAdmissionWebhook, configuration: {{apiVersion: apiserver.config.k8s.io/v1, kind: WebhookAdmissionConfiguration, {field}}}}}]"
        )
    };
    for (text, expected) in [
        ("kind: Pod".to_owned(), "not a AdmissionConfiguration"),
        (format!("{header}more: 1"), "unknown field `more`"),
        (
            format!("{header}plugins: [{{name: PodSecurity, configuration: {{}}}}]"),
            "\"PodSecurity\" takes no configuration",
        ),
        (
            webhooks("staticManifestsDir: relative"),
            "must be an absolute file path",
        ),
        (webhooks("staticManifestsDir: /nowhere/at/all"), "unable to read"),
        (
            webhooks("kubeConfigFile: /nowhere/at/all"),
            "kubeConfigFile: /nowhere/at/all: cannot be read",
        ),
    ] {
        fs::write(&file, &text).unwrap();
        let error = AdmissionFiles::load(Some(&file)).err().unwrap().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn changed_manifests_are_enforced_and_wrong_ones_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("a.yaml", &configuration("a.static.k8s.io", SOMEWHERE, ""));
    let hooks = crate::admission::webhook::Hooks::default();
    let mut directory = Directory::open(dir.path(), "ValidatingWebhookConfiguration", hooks.clone()).unwrap();
    let count = || hooks.all().len();
    assert_eq!((count(), directory.look()), (1, Ok(false)));
    write("b.yaml", &configuration("b.static.k8s.io", SOMEWHERE, ""));
    assert_eq!((directory.look(), count()), (Ok(true), 2));
    write("b.yaml", "kind: [");
    assert!(directory.look().unwrap_err().contains("b.yaml"));
    assert_eq!((directory.look(), count()), (Ok(false), 2));
    fs::remove_file(dir.path().join("b.yaml")).unwrap();
    assert_eq!((directory.look(), count()), (Ok(true), 1));
}
