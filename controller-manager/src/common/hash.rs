//! Upstream's names for contents: `pod-template-hash` and the hash of a controller revision.

use k8s_openapi::api::core::v1::PodTemplateSpec;

use crate::common::go_dump;

/// FNV-1a, 32 bits.
#[derive(Clone, Copy)]
pub(crate) struct Fnv32a(u32);

impl Fnv32a {
    pub(crate) fn new() -> Self {
        Self(0x811c_9dc5)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }

    pub(crate) fn finish(self) -> u32 {
        self.0
    }
}

/// FNV-1, 32 bits: the variant used for controller revisions multiplies first.
pub(crate) fn fnv32(parts: &[&[u8]]) -> u32 {
    let mut hash = 0x811c_9dc5u32;
    for byte in parts.iter().copied().flatten() {
        hash = hash.wrapping_mul(0x0100_0193) ^ u32::from(*byte);
    }
    hash
}

/// Maps every character to one that cannot form words (`rand.SafeEncodeString`).
pub(crate) fn safe_encode(text: &str) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    text.bytes()
        .map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]))
        .collect()
}

/// The value of `pod-template-hash` (`controller.ComputeHash`).
pub(crate) fn pod_template(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    let value = serde_json::to_value(template).unwrap_or_default();
    let mut hash = Fnv32a::new();
    hash.write(go_dump::dump("v1.PodTemplateSpec", &value).as_bytes());
    if let Some(collisions) = collisions {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&collisions.to_le_bytes());
        hash.write(&bytes);
    }
    safe_encode(&hash.finish().to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// `hash_vectors.json` was computed with k8s.io/apimachinery v0.36.0.
    #[test]
    fn template_hashes_are_upstreams() {
        let vectors: Vec<Value> = serde_json::from_str(include_str!("hash_vectors.json")).unwrap();
        for vector in vectors {
            let template: PodTemplateSpec = serde_json::from_value(vector["template"].clone()).unwrap();
            assert_eq!(
                pod_template(&template, None),
                vector["hash"].as_str().unwrap(),
                "{template:?}"
            );
        }
    }

    #[test]
    fn a_collision_changes_the_hash() {
        let template = PodTemplateSpec::default();
        assert_ne!(pod_template(&template, Some(1)), pod_template(&template, Some(2)));
        assert_ne!(pod_template(&template, Some(0)), pod_template(&template, None));
    }

    #[test]
    fn known_fnv_values() {
        let mut hash = Fnv32a::new();
        hash.write(b"foobar");
        assert_eq!(hash.finish(), 0xbf9c_f968);
        assert_eq!(fnv32(&[b"foo", b"bar"]), 0x31f0_b262);
    }
}
