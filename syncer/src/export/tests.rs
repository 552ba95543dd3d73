//! Secrets with kubeconfigs, in memory.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::*;
use crate::kinds::Side;
use crate::testing::fake::Fake;
use crate::testing::settings;

const KUBECONFIG: &str = "{apiVersion: v1, kind: Config, clusters: [{name: c, cluster: {server: 'https://localhost:8443', \
    certificate-authority-data: Y2E=}}], users: [{name: u, user: {client-certificate-data: Y2VydA==, \
    client-key-data: a2V5}}], contexts: [{name: c, context: {cluster: c, user: u}}], current-context: c}";

fn export(text: &str) -> Result<Export, String> {
    Export::new(text.to_owned(), &settings())
}

fn host(fake: &Fake) -> Api {
    Api::new(Side::Host, fake.client(), Default::default())
}

#[tokio::test]
async fn a_secret_is_made_kept_and_renewed() {
    let (fake, virtual_) = (Fake::new(), Fake::new().client());
    let api = host(&fake);
    let publish = async |text: &str| {
        let refresh_at = export(text).unwrap().publish(&api, &virtual_).await.unwrap();
        assert_eq!(refresh_at, None);
        let secret = fake.get(Kind::Secret, "host", "vc-vc").unwrap();
        (fake.take_writes().len(), secret)
    };
    let (writes, secret) = publish(KUBECONFIG).await;
    let expected = json!({
        "config": BASE64_STANDARD.encode(KUBECONFIG), "token": "",
        "certificate-authority": "Y2E=", "client-certificate": "Y2VydA==", "client-key": "a2V5",
    });
    assert_eq!((writes, &secret["data"]), (1, &expected));
    assert_eq!(
        secret["metadata"].get("ownerReferences"),
        None,
        "there is nothing that could own it"
    );
    // The attempt to create it is all that a second run writes.
    assert_eq!(publish(KUBECONFIG).await.0, 1);
    let (writes, secret) = publish(&KUBECONFIG.replace("Y2E=", "Y2Ey")).await;
    assert_eq!((writes, &secret["data"]["certificate-authority"]), (2, &json!("Y2Ey")));
    fake.put(
        Kind::Service,
        json!({"metadata": {"name": "vc", "namespace": "host", "uid": "cp"}, "spec": {"clusterIP": "10.0.0.1"}}),
    );
    let (writes, secret) = publish(KUBECONFIG).await;
    assert_eq!(
        (writes, &secret["metadata"]["ownerReferences"][0]["uid"]),
        (2, &json!("cp"))
    );
    assert_eq!(publish(KUBECONFIG).await.0, 1);
}

#[tokio::test]
async fn more_secrets_say_how_to_log_in() {
    let mut settings = settings();
    settings.exports = vec![KubeConfigSecret {
        name: "login".into(),
        namespace: "tools".into(),
        context: "mine".into(),
        server: "https://vc.example.com".into(),
        insecure: true,
        service_account: config::ServiceAccountLogin {
            name: "robot".into(),
            ..Default::default()
        },
    }];
    let (fake, virtual_) = (Fake::new(), Fake::new());
    let owner = fake.put(Kind::Namespace, json!({"metadata": {"name": "host"}}));
    let export = Export::new(KUBECONFIG.to_owned(), &settings).unwrap();
    let error = export
        .publish(&host(&fake), &virtual_.client())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("kube-system/robot does not exist"), "{error}");
    let account = json!({"metadata": {"name": "robot", "namespace": "kube-system"}});
    virtual_.put(Kind::ServiceAccount, account);
    let refresh_at = export.publish(&host(&fake), &virtual_.client()).await.unwrap();
    assert!(refresh_at.unwrap() > Timestamp::now());
    let secret = fake.get(Kind::Secret, "tools", "login").unwrap();
    // Nothing in a namespace owns something in another one.
    assert_eq!(
        secret["metadata"]["ownerReferences"],
        json!([{"apiVersion": "v1", "kind": "Namespace", "name": "host", "uid": owner["metadata"]["uid"]}])
    );
    let text = |key: &str| {
        let bytes = BASE64_STANDARD.decode(secret["data"][key].as_str().unwrap()).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!(
        (text("token").as_str(), text("client-key").as_str()),
        ("secret-token", "")
    );
    let config: Value = serde_json::from_str(&text("config")).unwrap();
    let cluster = json!({"server": "https://vc.example.com", "insecure-skip-tls-verify": true});
    assert_eq!(config["clusters"], json!([{"name": "mine", "cluster": cluster}]));
    assert_eq!(
        config["users"],
        json!([{"name": "mine", "user": {"token": "secret-token"}}])
    );
    assert_eq!(
        config["contexts"],
        json!([{"name": "mine", "context": {"cluster": "mine", "user": "mine"}}])
    );
    assert_eq!(config["current-context"], "mine");
}

#[tokio::test]
async fn somebody_elses_secret_is_left_alone() {
    let fake = Fake::new();
    fake.put(
        Kind::Secret,
        json!({"metadata": {"name": "vc-vc", "namespace": "host"}}),
    );
    let export = export(KUBECONFIG).unwrap();
    let error = export
        .publish(&host(&fake), &Fake::new().client())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("host/vc-vc") && error.contains("not of this virtual cluster"),
        "{error}"
    );
    let kept = fake.get(Kind::Secret, "host", "vc-vc").unwrap();
    assert!(kept.get("data").is_none());
}

#[test]
fn a_file_that_is_no_kubeconfig_is_not_quoted() {
    let error = export("client-key-data: [secret").err().unwrap();
    assert!(!error.contains("secret"), "{error}");
    assert_eq!(
        export("{apiVersion: v1, kind: Config}").err().unwrap(),
        "it has no clusters"
    );
}
