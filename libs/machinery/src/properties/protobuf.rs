//! JSON to protobuf and back is the identity for every built-in type, and damaged messages are refused.

use proptest::prelude::*;

use super::objects::Maker;
use crate::schema::{Type, builtins};
use crate::wire::{Envelope, decode, encode};

fn kinds() -> impl Iterator<Item = &'static Type> {
    builtins()
        .iter()
        .copied()
        .filter(|ty| ty.message && !ty.kinds.is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_type_survives_both_ways(seed in any::<u64>()) {
        let mut maker = Maker::new(seed);
        for ty in kinds() {
            let object = maker.object(ty);
            let bytes = encode(&object, ty).unwrap();
            let back = decode(&Envelope::parse(&bytes).unwrap(), ty);
            prop_assert_eq!(back.as_ref(), Ok(&object), "{:?}", ty);
        }
    }

    #[test]
    fn damaged_messages_are_read_or_refused(seed in any::<u64>()) {
        let mut maker = Maker::new(seed);
        for ty in kinds() {
            let mut bytes = encode(&maker.object(ty), ty).unwrap();
            for _ in 0..=maker.below(4) {
                let at = maker.below(bytes.len());
                match maker.below(3) {
                    0 => bytes.truncate(at.max(1)),
                    1 => bytes[at] = u8::try_from(maker.below(256)).unwrap(),
                    _ => bytes.insert(at, 0xff),
                }
            }
            if let Ok(envelope) = Envelope::parse(&bytes) {
                let _ = decode(&envelope, ty);
            }
        }
    }
}

#[test]
fn a_length_that_lies_allocates_nothing() {
    let pod = crate::schema::by_gvk("", "v1", "Pod").unwrap();
    for length in [u64::MAX, u64::from(u32::MAX), 1 << 40] {
        let mut raw = vec![0x0a];
        let mut rest = length;
        while rest >= 0x80 {
            raw.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
            rest >>= 7;
        }
        raw.push(u8::try_from(rest).unwrap());
        let envelope = Envelope {
            api_version: "v1".into(),
            kind: "Pod".into(),
            raw: raw.into(),
        };
        assert!(decode(&envelope, pod).is_err(), "{length}");
    }
}
