//! Container logs. A simulated container's log is a function of when it started and what its program prints, so nothing is
//! stored: a start line, the program's output at its own pace, and a heartbeat from programs that run for ever.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::route::Query;
use crate::node::shell::{End, Plan, Step};

/// How often a container that runs for ever writes a line.
const HEARTBEAT: SignedDuration = SignedDuration::from_secs(5);
/// Older heartbeats have been rotated away.
const KEPT: i64 = 10_000;

/// One log line and when it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) time: Timestamp,
    pub(super) text: String,
}

/// One run of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) started: Timestamp,
    pub(super) finished: Option<Timestamp>,
}

/// What the caller wants to see (`PodLogOptions`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) follow: bool,
    pub(super) previous: bool,
    timestamps: bool,
    tail: Option<usize>,
    limit: Option<usize>,
    since: Option<Timestamp>,
}

impl Options {
    pub(super) fn parse(query: &Query, now: Timestamp) -> Result<Self, String> {
        let seconds: Option<i64> = query.number("sinceSeconds")?;
        let time = query.first("sinceTime").filter(|time| !time.is_empty());
        let time = time
            .map(|time| {
                time.parse()
                    .map_err(|_| format!("sinceTime={time:?} is not an RFC 3339 time"))
            })
            .transpose()?;
        let ago = seconds.map(|seconds| {
            now.checked_sub(SignedDuration::from_secs(seconds))
                .unwrap_or(Timestamp::MIN)
        });
        Ok(Self {
            follow: query.flag("follow"),
            previous: query.flag("previous"),
            timestamps: query.flag("timestamps"),
            tail: query.number("tailLines")?,
            limit: query.number("limitBytes")?,
            since: ago.or(time),
        })
    }

    /// The text of `lines` that the caller wants, and how many bytes may still follow.
    pub(super) fn first(&self, lines: &[Line]) -> (String, Option<usize>) {
        let wanted: Vec<&Line> = lines
            .iter()
            .filter(|line| self.since.is_none_or(|since| line.time >= since))
            .collect();
        let skipped = self.tail.map_or(0, |tail| wanted.len().saturating_sub(tail));
        self.cut(wanted[skipped..].iter().copied(), self.limit)
    }

    /// The text of lines written later, within what is left of the limit.
    pub(super) fn more(&self, lines: &[Line], left: Option<usize>) -> (String, Option<usize>) {
        self.cut(lines.iter(), left)
    }

    fn cut<'a>(&self, lines: impl Iterator<Item = &'a Line>, left: Option<usize>) -> (String, Option<usize>) {
        let mut text = String::new();
        for line in lines {
            if self.timestamps {
                text.push_str(&format!("{:.9} ", line.time));
            }
            text.push_str(&line.text);
            text.push('\n');
        }
        match left {
            None => (text, None),
            Some(left) => {
                let end = (0..=left.min(text.len()))
                    .rev()
                    .find(|end| text.is_char_boundary(*end))
                    .unwrap_or(0);
                text.truncate(end);
                let rest = left - text.len();
                (text, Some(rest))
            }
        }
    }
}

/// The run of a container whose log is asked for.
///
/// # Errors
/// The kubelet's sentence when there is none (pkg/kubelet/kubelet_pods.go `validateContainerLogStatus`).
pub(super) fn run(pod: &Pod, container: &str, previous: bool) -> Result<Run, String> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let status = status(pod, container)
        .ok_or_else(|| format!("container \"{container}\" in pod \"{name}\" is not available"))?;
    if previous {
        let last = status.last_state.as_ref().and_then(terminated);
        return last
            .ok_or_else(|| format!("previous terminated container \"{container}\" in pod \"{name}\" not found"));
    }
    let state = status.state.clone().unwrap_or_default();
    if let Some(started) = state.running.as_ref().and_then(|running| running.started_at.as_ref()) {
        return Ok(Run {
            started: started.0,
            finished: None,
        });
    }
    if let Some(run) = terminated(&state).or_else(|| status.last_state.as_ref().and_then(terminated)) {
        return Ok(run);
    }
    let reason = state.waiting.and_then(|waiting| waiting.reason).unwrap_or_default();
    Err(format!(
        "container \"{container}\" in pod \"{name}\" is waiting to start: {reason}"
    ))
}

fn terminated(state: &ContainerState) -> Option<Run> {
    let terminated = state.terminated.as_ref()?;
    let started = terminated.started_at.as_ref()?.0;
    Some(Run {
        started,
        finished: terminated.finished_at.as_ref().map(|time| time.0),
    })
}

pub(super) fn status<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let mut all = status
        .container_statuses
        .iter()
        .chain(&status.init_container_statuses)
        .flatten();
    all.find(|status| status.name == container)
}

/// What a run has written after `from` and until `now`; a follower passes its previous `now`.
pub(super) fn lines_after(
    pod: &Pod,
    container: &str,
    plan: &Plan,
    run: &Run,
    from: Timestamp,
    now: Timestamp,
) -> Vec<Line> {
    let mut lines = lines(pod, container, plan, run, now);
    lines.retain(|line| line.time > from);
    lines
}

/// Everything a run has written until `now`.
pub(super) fn lines(pod: &Pod, container: &str, plan: &Plan, run: &Run, now: Timestamp) -> Vec<Line> {
    let until = run.finished.unwrap_or(now);
    let place = |value: &Option<String>| value.clone().unwrap_or_default();
    let image = status(pod, container)
        .map(|status| status.image.clone())
        .unwrap_or_default();
    let mut lines = vec![Line {
        time: run.started,
        text: format!(
            "container {container} of pod {}/{} started from image {image}",
            place(&pod.metadata.namespace),
            place(&pod.metadata.name)
        ),
    }];
    let mut time = run.started;
    let mut open = String::new();
    for step in &plan.steps {
        match step {
            Step::Sleep(pause) => time = time.checked_add(*pause).unwrap_or(Timestamp::MAX),
            Step::Stdout(bytes) | Step::Stderr(bytes) => {
                open.push_str(&String::from_utf8_lossy(bytes));
                while let Some((line, rest)) = open.split_once('\n') {
                    lines.push(Line {
                        time,
                        text: line.to_string(),
                    });
                    open = rest.to_string();
                }
            }
            Step::CopyStdin => {}
        }
    }
    if !open.is_empty() {
        lines.push(Line { time, text: open });
    }
    if plan.end == End::Never {
        let beats = until.duration_since(time).as_secs() / HEARTBEAT.as_secs();
        for beat in (beats - KEPT).max(0) + 1..=beats {
            let at = time
                .checked_add(SignedDuration::from_secs(beat * HEARTBEAT.as_secs()))
                .unwrap_or(until);
            lines.push(Line {
                time: at,
                text: format!("heartbeat {beat}"),
            });
        }
    }
    // The end of a run is known in whole seconds only.
    lines.retain(|line| {
        if run.finished.is_some() {
            line.time.as_second() <= until.as_second()
        } else {
            line.time <= until
        }
    });
    lines
}

/// How often a followed log is looked at again.
pub(super) const FOLLOW_EVERY: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(state: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n"},
            "status": {"containerStatuses": [{"name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": state}]}}))
        .unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn texts(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn a_server_beats_and_a_job_prints() {
        let pod = pod(json!({}));
        let start = "container c of pod n/p started from image i";
        let server = Plan {
            steps: Vec::new(),
            end: End::Never,
        };
        let run = Run {
            started: at(100),
            finished: None,
        };
        assert_eq!(
            texts(&lines(&pod, "c", &server, &run, at(111))),
            [start, "heartbeat 1", "heartbeat 2"]
        );
        let steps = vec![
            Step::Stdout(b"a\nb".to_vec()),
            Step::Sleep(Duration::from_secs(3)),
            Step::Stdout(b"c\n".to_vec()),
        ];
        let job = Plan {
            steps,
            end: End::Exit(0),
        };
        assert_eq!(texts(&lines(&pod, "c", &job, &run, at(101))), [start, "a"]);
        let done = Run {
            started: at(100),
            finished: Some(at(103)),
        };
        assert_eq!(texts(&lines(&pod, "c", &job, &done, at(999))), [start, "a", "bc"]);
    }

    #[test]
    fn a_follower_misses_nothing_of_a_very_long_log() {
        let (pod, plan) = (
            pod(json!({})),
            Plan {
                steps: Vec::new(),
                end: End::Never,
            },
        );
        let run = Run {
            started: at(0),
            finished: None,
        };
        let (before, now) = (at(10_000_000), at(10_000_012));
        assert!(lines(&pod, "c", &plan, &run, before).len() < 20_000);
        assert_eq!(
            texts(&lines_after(&pod, "c", &plan, &run, before, now)),
            ["heartbeat 2000001", "heartbeat 2000002"]
        );
    }

    #[test]
    fn options_cut_what_is_shown() {
        let all: Vec<Line> = (1..=4)
            .map(|i| Line {
                time: at(i),
                text: format!("l{i}"),
            })
            .collect();
        let show = |query: &str| Options::parse(&Query::parse(query), at(5)).unwrap().first(&all).0;
        assert_eq!(show(""), "l1\nl2\nl3\nl4\n");
        assert_eq!(show("tailLines=1"), "l4\n");
        assert_eq!(show("tailLines=0"), "");
        assert_eq!(show("sinceSeconds=2"), "l3\nl4\n");
        assert_eq!(
            show("sinceTime=1970-01-01T00:00:04Z&timestamps=true"),
            "1970-01-01T00:00:04.000000000Z l4\n"
        );
        assert_eq!(show("limitBytes=4"), "l1\nl");
        assert!(Options::parse(&Query::parse("sinceTime=x"), at(5)).is_err());
    }

    #[test]
    fn containers_without_a_run_say_why() {
        let waiting = pod(json!({"waiting": {"reason": "ContainerCreating"}}));
        assert_eq!(
            run(&waiting, "c", false).unwrap_err(),
            "container \"c\" in pod \"p\" is waiting to start: ContainerCreating"
        );
        let running = pod(json!({"running": {"startedAt": "1970-01-01T00:00:09Z"}}));
        assert_eq!(
            run(&running, "c", false),
            Ok(Run {
                started: at(9),
                finished: None
            })
        );
        assert!(
            run(&running, "c", true)
                .unwrap_err()
                .starts_with("previous terminated container")
        );
        assert!(run(&running, "x", false).is_err());
    }
}
