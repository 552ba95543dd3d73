//! Events in the form in which they are sent: what one watcher has had encoded, the others take as it is.

use bytes::Bytes;
use machinery::object::Stored;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Frames that are kept; watchers of one resource are woken together, so that a few are enough.
const MAX_FRAMES: usize = 32;
/// The size of all frames that are kept.
const MAX_BYTES: usize = 256 * 1024;

/// What an event looks like, besides the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// The type of the event, such as `ADDED`.
    pub event: &'static str,
    /// The resource and version that watchers have asked for.
    pub resource: usize,
    /// Whether it is protobuf.
    pub protobuf: bool,
    /// The version of `meta.k8s.io` when only the metadata is sent.
    pub metadata: Option<String>,
}

/// The frames that were made last.
#[derive(Default)]
pub struct Frames {
    kept: Mutex<Kept>,
    made: AtomicU64,
}

#[derive(Default)]
struct Kept {
    frames: VecDeque<Frame>,
    bytes: usize,
}

struct Frame {
    form: Form,
    /// The object, which stays in memory as long as the frame, so that its place tells it from all others.
    object: Bytes,
    frame: Bytes,
}

impl Frame {
    fn is(&self, form: &Form, object: &Bytes) -> bool {
        std::ptr::eq(self.object.as_ptr(), object.as_ptr()) && self.object.len() == object.len() && self.form == *form
    }
}

impl Frames {
    /// The frame of an event: as it was made before, or as `make` does now.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn get<E>(&self, form: Form, object: &Stored, make: impl FnOnce() -> Result<Bytes, E>) -> Result<Bytes, E> {
        let known = |kept: &Kept| {
            kept.frames
                .iter()
                .rev()
                .find(|frame| frame.is(&form, &object.bytes))
                .map(|f| f.frame.clone())
        };
        if let Some(frame) = known(&chassis::lock(&self.kept)) {
            return Ok(frame);
        }
        let frame = make()?;
        self.made.fetch_add(1, Ordering::Relaxed);
        let mut kept = chassis::lock(&self.kept);
        if frame.len() <= MAX_BYTES {
            kept.bytes += frame.len();
            kept.frames.push_back(Frame {
                form,
                object: object.bytes.clone(),
                frame: frame.clone(),
            });
        }
        while kept.frames.len() > MAX_FRAMES || kept.bytes > MAX_BYTES {
            let Some(oldest) = kept.frames.pop_front() else { break };
            kept.bytes -= oldest.frame.len();
        }
        Ok(frame)
    }

    /// How many frames have been made.
    pub fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn object(text: &str) -> Stored {
        Stored {
            bytes: Bytes::from(text.to_owned()),
            revision: 1,
            index: machinery::object::Index::of(&serde_json::json!({}), &machinery::object::Selectable::NONE).into(),
        }
    }

    fn form(event: &'static str) -> Form {
        Form {
            event,
            resource: 0,
            protobuf: false,
            metadata: None,
        }
    }

    fn ask(frames: &Frames, form: Form, object: &Stored) -> Bytes {
        let made = frames.get(form, object, || Ok::<_, Infallible>(object.bytes.clone()));
        made.unwrap_or_else(|never| match never {})
    }

    #[test]
    fn an_event_is_made_once_for_all_watchers() {
        let (frames, pod) = (Frames::default(), object("{\"a\":1}"));
        for _ in 0..500 {
            assert_eq!(ask(&frames, form("ADDED"), &pod.clone()), pod.bytes);
        }
        assert_eq!(frames.made(), 1);
        ask(&frames, form("DELETED"), &pod);
        ask(&frames, form("ADDED"), &object("{\"a\":1}"));
        assert_eq!(
            frames.made(),
            3,
            "another event, and another object that looks the same"
        );
    }

    #[test]
    fn only_a_few_are_kept() {
        let frames = Frames::default();
        let pods: Vec<Stored> = (0..MAX_FRAMES + 5).map(|i| object(&i.to_string())).collect();
        pods.iter().for_each(|pod| drop(ask(&frames, form("ADDED"), pod)));
        assert_eq!(chassis::lock(&frames.kept).frames.len(), MAX_FRAMES);
        let large = object(&"x".repeat(MAX_BYTES - 10));
        ask(&frames, form("ADDED"), &large);
        ask(&frames, form("MODIFIED"), &large);
        assert_eq!(chassis::lock(&frames.kept).frames.len(), 1);
        ask(&frames, form("ADDED"), &object(&"x".repeat(MAX_BYTES + 1)));
        assert!(chassis::lock(&frames.kept).bytes <= MAX_BYTES);
    }
}
