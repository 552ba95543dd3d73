//! MutatingAdmissionPolicyBindings.

use super::{Configuration, policy};
use crate::registry::resource::Resource;
use machinery::field::Path;
use serde_json::Value;

pub(super) fn resource() -> Resource {
    super::kind(
        "MutatingAdmissionPolicyBinding",
        ("mutatingadmissionpolicybindings", "mutatingadmissionpolicybinding"),
        "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicyBinding",
        Configuration {
            default: policy::default_binding,
            validate: |new, _| {
                let spec = new.get("spec").unwrap_or(&Value::Null);
                policy::binding(spec, true, &Path::new("spec"))
            },
            counted: "spec",
            has_status: false,
        },
        &policy::BINDING_COLUMNS,
    )
}
