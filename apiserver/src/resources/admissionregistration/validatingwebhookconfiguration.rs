//! ValidatingWebhookConfigurations.

use super::{Configuration, webhook};
use crate::registry::resource::Resource;

pub(super) fn resource() -> Resource {
    super::kind(
        "ValidatingWebhookConfiguration",
        ("validatingwebhookconfigurations", "validatingwebhookconfiguration"),
        "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration",
        Configuration {
            default: webhook::default,
            validate: webhook::validate,
            counted: "webhooks",
            has_status: false,
        },
        &webhook::COLUMNS,
    )
}
