//! StorageClasses: copies of the virtual cluster's on the host, or the host's as they are.

use serde_json::{Value, json};

use super::copied::{self, BARE, Copied};
use super::mirrored::{self, Mirrored, PLAIN};
use crate::engine::plan::{Note, Plan};
use crate::json;
use crate::kinds::Kind;
use crate::names::Reference;
use crate::world::World;

/// Fields of a class that can change.
const CHANGING: &[&str] = &["mountOptions", "allowVolumeExpansion", "allowedTopologies"];
/// Fields that cannot.
const FIXED: &[&str] = &["provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"];

pub(super) fn plan_copy(world: &World, item: &Reference) -> Plan {
    let copied = Copied {
        // The default class of the host is the host's choice.
        excluded: &["storageclass.kubernetes.io/is-default-class"],
        initial: |world, object| {
            let mut fields = copied::fields(object, FIXED);
            if let Some(parameters) = fields.get_mut("parameters") {
                translate_secrets(world, parameters);
            }
            fields
        },
        references: |_, object| secrets(object).into_iter().flatten().map(Named::reference).collect(),
        refusal: |_, object| secrets(object).err().map(Note::warning),
        wanted: |_, object, _| copied::fields(object, CHANGING),
        actual: |host| copied::fields(host, CHANGING),
        ..BARE
    };
    copied::plan(world, item, &copied)
}

/// How parameters name Secrets: what follows in the key of the name, and in that of its namespace. Those of CSI drivers,
/// and those that single provisioners read.
const SECRET_KEYS: [(&str, &str); 2] = [("-secret-name", "-secret-namespace"), ("ecretName", "ecretNamespace")];

/// A Secret that a class names, and the keys of the two parameters that do.
struct Named<'a> {
    name: (String, &'a str),
    namespace: (String, &'a str),
}

impl Named<'_> {
    fn reference(self) -> Reference {
        Reference::new(Kind::Secret, self.namespace.1, self.name.1)
    }
}

/// The Secrets that a class names. Provisioners of the host read every Secret there: one that is not said in full, or by a
/// template, could be anybody's, and is an error.
fn secrets(class: &Value) -> Result<Vec<Named<'_>>, String> {
    let parameters = class.get("parameters").and_then(Value::as_object);
    let mut secrets = Vec::new();
    for (key, value) in parameters.into_iter().flatten() {
        let Some((stem, namespace)) = SECRET_KEYS
            .iter()
            .find_map(|(name, namespace)| Some((key.strip_suffix(name)?, namespace)))
        else {
            continue;
        };
        let namespace = format!("{stem}{namespace}");
        let (of, name) = (
            json::text(class, &["parameters", &namespace]),
            value.as_str().unwrap_or_default(),
        );
        if of.is_empty() || [of, name].iter().any(|text| text.contains("${")) {
            return Err(format!(
                "parameters {key} and {namespace} must both be there, without ${{...}}: the Secret that they name is synced"
            ));
        }
        secrets.push(Named {
            name: (key.clone(), name),
            namespace: (namespace, of),
        });
    }
    Ok(secrets)
}

fn translate_secrets(world: &World, parameters: &mut Value) {
    let class = json!({"parameters": parameters});
    for secret in secrets(&class).into_iter().flatten() {
        let host = world.host_key(Kind::Secret, secret.namespace.1, secret.name.1);
        json::put(parameters, &secret.name.0, Some(json!(host.name)));
        json::put(parameters, &secret.namespace.0, Some(json!(host.namespace)));
    }
}

pub(super) fn plan_mirror(world: &World, item: &Reference) -> Plan {
    let mirrored = Mirrored {
        fields: CHANGING,
        fixed: FIXED,
        ..PLAIN
    };
    mirrored::plan(world, item, &mirrored)
}
