//! MutatingWebhookConfigurations.

use super::{Configuration, webhook};
use crate::registry::resource::Resource;
use machinery::meta;
use serde_json::Value;

/// A webhook is asked once unless it wants to be asked again.
fn default(obj: &mut Value) {
    webhook::default(obj);
    for hook in super::matching::each(obj, "webhooks") {
        meta::set_default(hook, &["reinvocationPolicy"], "Never");
    }
}

pub(super) fn resource() -> Resource {
    super::kind(
        "MutatingWebhookConfiguration",
        ("mutatingwebhookconfigurations", "mutatingwebhookconfiguration"),
        "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration",
        Configuration {
            default,
            validate: webhook::validate,
            counted: "webhooks",
            has_status: false,
        },
        &webhook::COLUMNS,
    )
}
