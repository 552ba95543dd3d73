//! `POST pods/{name}/eviction`: deletes a pod when its disruption budget can bear it
//! (kubernetes `pkg/registry/core/pod/storage/eviction.go`).

use super::scope::Scope;
use crate::admission::ObjectRef;
use crate::endpoints::body;
use crate::endpoints::negotiation::body_format;
use crate::endpoints::options::{SentDeleteOptions, Shown, WriteKind, WriteOptions};
use crate::registry::before;
use crate::registry::codec;
use crate::registry::managers::Managers;
use crate::registry::request::Request;
use crate::registry::resource::Action;
use crate::registry::store::Store;
use crate::registry::store::options::DeleteOptions;
use crate::registry::store::update::{Transform, Update};
use crate::server::request::Body;
use crate::storage::interface::{self, ListOptions, Revision};
use bytes::Bytes;
use http::Response;
use machinery::field::{Error, Path};
use machinery::gvk::{GroupKind, GroupResource, GroupVersionKind};
use machinery::meta;
use machinery::object::Stored;
use machinery::selector::label::Selector;
use machinery::status::Status;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// How often, and in which intervals, an eviction is tried again when the pod changes meanwhile.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);
/// When a client should come back.
const RETRY_AFTER: u32 = 10;
/// How many evictions may be unknown to the controller of budgets.
const MAX_DISRUPTED: usize = 2000;
const REFUSED: &str = "Cannot evict pod as it would violate the pod's disruption budget.";
const CAUSE: &str = "DisruptionBudget";
/// The condition of a budget that says whether anything may be evicted.
const ALLOWED: &str = "DisruptionAllowed";
const STATUS: &str = "status";

/// Deletes a pod in an orderly way.
///
/// # Errors
/// 404 when there is no pod, 429 when its budget is used up.
pub async fn evict(scope: &Scope, budgets: &Arc<Store>, sent: &Bytes) -> Result<Response<Body>, Status> {
    let options = WriteOptions::read(&scope.query, WriteKind::Create)?;
    let warn = |text: String| scope.cx.warnings.add(text);
    let kind = GroupVersionKind::new("policy", "v1", "Eviction");
    let sent = body::with_version(sent, "policy/v1beta1", "policy/v1");
    let mut eviction = body::object(
        &sent,
        body_format(&scope.parts.headers)?,
        &kind,
        options.validation,
        &warn,
    )?;
    before::wipe_system_fields(&mut eviction);
    before::match_namespace(scope.resource(), &scope.route.namespace, &mut eviction)?;
    let manager = scope.field_manager(&options.field_manager);
    let managers = Managers::of_view(&kind, scope.subresource())?;
    let write = scope.creation(&kind, &scope.route.name);
    let deletion = scope
        .registry(&options.shown, async |rq| {
            managers.update(rq, None, &mut eviction, &manager);
            scope.store().admit(rq, &write, &mut eviction).await?;
            check(&scope.route.name, &mut eviction, &options.shown)?;
            scope.store().validate_admission(rq, &write, &eviction).await?;
            Ok::<_, Status>(SentDeleteOptions::from_object(&eviction["deleteOptions"]))
        })
        .await?;
    let (deletion, shown) = deletion.unchecked();
    let eviction = Eviction {
        pods: &scope.store().without_admission(),
        budgets,
        name: &scope.route.name,
        options: deletion,
        now: machinery::time::format(scope.now),
    };
    scope.registry(&shown, async |rq| eviction.run(rq).await).await?;
    super::pod::success(scope)
}

/// Checks an eviction and gives its deletion the dry run that the request asks for.
fn check(name: &str, eviction: &mut Value, shown: &Shown) -> Result<(), Status> {
    const DRY_RUN: &[&str] = &["deleteOptions", "dryRun"];
    if meta::name(eviction) != name {
        return Err(Status::bad_request(
            "name in URL does not match name in Eviction object",
        ));
    }
    let unsafe_option = "ignoreStoreReadErrorWithClusterBreakingPotential";
    if meta::bool_at(eviction, &["deleteOptions", unsafe_option]) == Some(true) {
        let field = Path::new("deleteOptions").child(unsafe_option);
        let why = "can not be set for pod eviction, try after removing the option";
        let kind = GroupKind {
            group: "policy".to_owned(),
            kind: "Eviction".to_owned(),
        };
        return Err(Status::invalid(&kind, name, &[Error::invalid(&field, true, why)]));
    }
    let asked = meta::list_at(&shown.value, &["dryRun"]);
    let own = meta::list_at(eviction, DRY_RUN);
    if own.is_empty() {
        if !asked.is_empty() {
            meta::set(eviction, DRY_RUN, asked.to_vec());
        }
        return Ok(());
    }
    if !asked.is_empty() && asked != own {
        let texts = |values: &[Value]| {
            let texts: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
            texts.join(" ")
        };
        let (asked, own) = (texts(asked), texts(own));
        let why = format!("Non-matching dry-run options in request and content: [{asked}] and [{own}]");
        return Err(Status::failure(500, "", why));
    }
    Ok(())
}

struct Eviction<'a> {
    pods: &'a Store,
    budgets: &'a Arc<Store>,
    name: &'a str,
    options: DeleteOptions,
    now: String,
}

/// What a budget says about a pod.
enum Verdict {
    /// It may go.
    Go,
    /// It may go as it is now: were it healthy, it would count.
    GoUnchanged,
}

impl Eviction<'_> {
    async fn run(&self, rq: &Request<'_>) -> Result<(), Status> {
        let Some(pod) = self.delete_what_needs_no_budget(rq).await? else {
            return Ok(());
        };
        let covering = self.budgets_of(&pod).await?;
        let (budget, verdict) = match covering.as_slice() {
            [] => ("", Verdict::Go),
            [budget] => (meta::name(budget), self.ask(rq, &pod, budget).await?),
            _ => {
                let why =
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
                return Err(Status::failure(500, "", why));
            }
        };
        let mut options = self.options.clone();
        let unchanged = matches!(verdict, Verdict::GoUnchanged);
        if unchanged {
            options.resource_version = Some(version(&pod));
        }
        match self.delete(rq, options).await {
            Err(status) if status.reason == "Conflict" && unchanged && self.options.resource_version.is_none() => {
                Err(still_processed(budget))
            }
            result => result,
        }
    }

    /// Deletes a pod that serves nobody, budget or not; answers any other pod.
    async fn delete_what_needs_no_budget(&self, rq: &Request<'_>) -> Result<Option<Value>, Status> {
        let mut attempt = 1;
        loop {
            let stored = self.pods.get(rq.namespace, self.name, Revision::Latest).await?;
            let pod = codec::decode(&self.pods.resource, &stored)?;
            let phase = meta::str_at(&pod, &["status", "phase"]).unwrap_or_default();
            let ended = matches!(phase, "Succeeded" | "Failed") || meta::is_deleting(&pod);
            if !ended && phase != "Pending" {
                return Ok(Some(pod));
            }
            let mut options = self.options.clone();
            if !ended && options.resource_version.is_none() {
                options.resource_version = Some(version(&pod));
            }
            match self.delete(rq, options).await {
                Err(status)
                    if status.reason == "Conflict" && self.options.resource_version.is_none() && attempt < ATTEMPTS =>
                {
                    attempt += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                result => return result.map(|()| None),
            }
        }
    }

    /// The budgets that cover a pod. One without a selector covers nothing.
    async fn budgets_of(&self, pod: &Value) -> Result<Vec<Value>, Status> {
        let options = ListOptions {
            scope: interface::Scope {
                namespace: meta::namespace(pod).to_owned(),
                ..interface::Scope::default()
            },
            revision: Revision::Latest,
            limit: 0,
            continue_token: String::new(),
        };
        let listed = self.budgets.list(options).await?;
        let decode = |stored: &Stored| codec::decode(&self.budgets.resource, stored);
        let all: Vec<Value> = listed.items.iter().map(decode).collect::<Result<_, _>>()?;
        let labels = meta::at(pod, &["metadata", "labels"]);
        let covers = |budget: &Value| {
            let selector = Selector::of(meta::at(budget, &["spec", "selector"]));
            !selector.is_empty() && selector.matches_labels(labels)
        };
        Ok(all.into_iter().filter(covers).collect())
    }

    async fn ask(&self, rq: &Request<'_>, pod: &Value, budget: &Value) -> Result<Verdict, Status> {
        if !is_ready(pod) {
            let number = |field: &str| meta::i64_at(budget, &[STATUS, field]).unwrap_or_default();
            let enough = number("desiredHealthy") > 0 && number("currentHealthy") >= number("desiredHealthy");
            let always = meta::str_at(budget, &["spec", "unhealthyPodEvictionPolicy"]) == Some("AlwaysAllow");
            if always || enough {
                return Ok(Verdict::GoUnchanged);
            }
        }
        self.take_from(rq, budget).await.map(|()| Verdict::Go)
    }

    /// Uses up one of the disruptions that a budget allows.
    async fn take_from(&self, rq: &Request<'_>, budget: &Value) -> Result<(), Status> {
        let resource = self.budgets.resource.group_resource();
        let budget = ObjectRef {
            resource: &resource,
            namespace: meta::namespace(budget),
            name: meta::name(budget),
        };
        let take = |budget: &mut Value| decrement(budget, self.name, &self.now);
        self.pods.lookup.change_status(budget, rq.dry_run, &take).await
    }

    /// Says in the pod's status why it goes, and deletes it.
    async fn delete(&self, rq: &Request<'_>, mut options: DeleteOptions) -> Result<(), Status> {
        if !rq.dry_run {
            let mark = |_: &Request<'_>, current: Option<&Value>| {
                let mut pod = current.cloned().unwrap_or_default();
                check_preconditions(&pod, &options)?;
                mark_as_evicted(&mut pod, &self.now);
                Ok(pod)
            };
            let marked = change_status(self.pods, rq, self.name, &mark).await?;
            if options.resource_version.is_some() {
                options.resource_version = Some(marked.revision.to_string());
            }
        }
        self.pods.delete(rq, self.name, &options).await.map(drop)
    }
}

/// Changes an object through its status.
async fn change_status(
    store: &Store,
    rq: &Request<'_>,
    name: &str,
    transform: &dyn Transform,
) -> Result<Stored, Status> {
    let resource = &store.resource;
    let strategy = match resource.subresource(STATUS).map(|s| &s.action) {
        Some(Action::Object(strategy)) => strategy,
        _ => &resource.strategy,
    };
    let update = Update {
        name,
        subresource: STATUS,
        kind: &resource.gvk,
        view: None,
        strategy: strategy.as_ref(),
        uid: None,
        transform,
        force_create: false,
    };
    store.update(rq, &update).await.map(|updated| updated.object)
}

fn version(object: &Value) -> String {
    let version = meta::str_at(object, &["metadata", "resourceVersion"]);
    version.unwrap_or_default().to_owned()
}

fn is_ready(pod: &Value) -> bool {
    meta::list_at(pod, &[STATUS, "conditions"])
        .iter()
        .any(|c| c["type"] == "Ready" && c["status"] == "True")
}

/// The conditions of the client, before the server's own change of the pod makes them fail.
fn check_preconditions(pod: &Value, options: &DeleteOptions) -> Result<(), Status> {
    let resource = GroupResource::new("", "Pod");
    let (uid, current) = (meta::uid(pod), version(pod));
    if let Some(wanted) = options
        .uid
        .as_deref()
        .filter(|wanted| !wanted.is_empty() && *wanted != uid)
    {
        let why = format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
        );
        return Err(Status::conflict(&resource, meta::name(pod), why));
    }
    let wanted = options.resource_version.as_deref();
    if let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty() && *wanted != current) {
        let why = format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({current}). The object might have been modified"
        );
        return Err(Status::conflict(&resource, meta::name(pod), why));
    }
    Ok(())
}

fn mark_as_evicted(pod: &mut Value, now: &str) {
    let mut condition = json!({
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
        "lastProbeTime": null,
    });
    if meta::i64_at(pod, &[STATUS, "observedGeneration"]).unwrap_or_default() != 0 {
        let generation = meta::i64_at(pod, &["metadata", "generation"]).unwrap_or_default();
        meta::set(&mut condition, &["observedGeneration"], generation);
    }
    set_condition(pod, condition, now);
}

/// Sets a condition; its time is that of the last change of its status.
fn set_condition(object: &mut Value, mut condition: Value, now: &str) {
    let mut conditions = meta::list_at(object, &[STATUS, "conditions"]).to_vec();
    meta::set(&mut condition, &["lastTransitionTime"], now);
    match conditions.iter_mut().find(|c| c["type"] == condition["type"]) {
        Some(known) => {
            if known["status"] == condition["status"] {
                meta::copy(&mut condition, known, &["lastTransitionTime"]);
            }
            *known = condition;
        }
        None => conditions.push(condition),
    }
    meta::set(object, &[STATUS, "conditions"], conditions);
}

/// The budget's controller has not looked at it yet.
fn still_processed(budget: &str) -> Status {
    let cause = format!("The disruption budget {budget} is still being processed by the server.");
    Status::too_many_requests(REFUSED, RETRY_AFTER).with_cause(CAUSE, cause, "")
}

/// Counts a disruption in a budget's status, when it allows one (`checkAndDecrement`).
fn decrement(budget: &mut Value, pod: &str, now: &str) -> Result<(), Status> {
    let name = meta::name(budget).to_owned();
    let number = |field: &str| meta::i64_at(budget, &[STATUS, field]).unwrap_or_default();
    let generation = meta::i64_at(budget, &["metadata", "generation"]).unwrap_or_default();
    let observed = number("observedGeneration");
    if observed < generation {
        return Err(still_processed(&name));
    }
    let forbidden = |why: &str| Status::forbidden(&GroupResource::new("policy", "poddisruptionbudget"), &name, why);
    let allowed = number("disruptionsAllowed");
    if allowed < 0 {
        return Err(forbidden("pdb disruptions allowed is negative"));
    }
    let disrupted = meta::map_at(budget, &[STATUS, "disruptedPods"]);
    if disrupted.is_some_and(|pods| pods.len() > MAX_DISRUPTED) {
        return Err(forbidden(
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
        ));
    }
    if allowed == 0 {
        let (desired, current) = (number("desiredHealthy"), number("currentHealthy"));
        let conditions = meta::list_at(budget, &[STATUS, "conditions"]);
        let failed = |c: &&Value| c["type"] == ALLOWED && c["status"] == "False" && c["reason"] == "SyncFailed";
        let cause = match conditions.iter().find(failed) {
            Some(condition) => format!(
                "The disruption budget {name} does not allow evicting pods currently because it failed sync: {}",
                condition["message"].as_str().unwrap_or_default()
            ),
            None => format!("The disruption budget {name} needs {desired} healthy pods and has {current} currently"),
        };
        return Err(Status::too_many_requests(REFUSED, 0).with_cause(CAUSE, cause, ""));
    }
    meta::set(budget, &[STATUS, "disruptionsAllowed"], allowed - 1);
    if allowed == 1 {
        let condition = json!({
            "type": ALLOWED,
            "status": "False",
            "reason": "InsufficientPods",
            "message": "",
            "observedGeneration": observed,
        });
        set_condition(budget, condition, now);
    }
    meta::map_mut(budget, &[STATUS, "disruptedPods"]).insert(pod.to_owned(), now.into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(status: Value) -> Value {
        json!({"metadata": {"name": "b", "generation": 1}, "status": status})
    }

    #[test]
    fn a_budget_allows_as_much_as_it_says() {
        for (status, code, cause) in [
            (
                json!({}),
                429,
                "The disruption budget b is still being processed by the server.",
            ),
            (
                json!({"observedGeneration": 1, "desiredHealthy": 2, "currentHealthy": 1}),
                429,
                "The disruption budget b needs 2 healthy pods and has 1 currently",
            ),
            (
                json!({"observedGeneration": 1, "conditions": [{"type": ALLOWED, "status": "False", "reason": "SyncFailed", "message": "why"}]}),
                429,
                "The disruption budget b does not allow evicting pods currently because it failed sync: why",
            ),
            (json!({"observedGeneration": 1, "disruptionsAllowed": -1}), 403, ""),
        ] {
            let refused = decrement(&mut budget(status), "p", "now").unwrap_err();
            let causes = refused.details.map(|d| d.causes).unwrap_or_default();
            let said = causes.first().map(|c| c.message.as_str()).unwrap_or_default();
            assert_eq!((refused.code, said), (code, cause));
        }
    }

    #[test]
    fn a_dry_run_is_asked_for_here_or_there() {
        let shown = |dry_run: &[&str]| Shown {
            dry_run: !dry_run.is_empty(),
            value: json!({"dryRun": dry_run}),
        };
        for (asked, own, expected) in [
            (&[][..], Value::Null, Ok(Value::Null)),
            (&["All"][..], Value::Null, Ok(json!({"dryRun": ["All"]}))),
            (&[][..], json!({"dryRun": ["All"]}), Ok(json!({"dryRun": ["All"]}))),
            (
                &["All"][..],
                json!({"dryRun": ["All", "All"]}),
                Err("Non-matching dry-run options in request and content: [All] and [All All]"),
            ),
            (
                &[][..],
                json!({"ignoreStoreReadErrorWithClusterBreakingPotential": true}),
                Err(
                    "Eviction.policy \"p\" is invalid: deleteOptions.ignoreStoreReadErrorWithClusterBreakingPotential: Invalid value: true: can not be set for pod eviction, try after removing the option",
                ),
            ),
        ] {
            let mut eviction = json!({"metadata": {"name": "p"}, "deleteOptions": own});
            let result = check("p", &mut eviction, &shown(asked)).map(|()| eviction["deleteOptions"].clone());
            assert_eq!(result.map_err(|status| status.message), expected.map_err(str::to_owned));
        }
        let other = check("q", &mut json!({"metadata": {"name": "p"}}), &shown(&[]));
        assert_eq!(other.unwrap_err().code, 400);
    }

    #[test]
    fn the_last_disruption_closes_the_budget() {
        let mut budget = budget(json!({"observedGeneration": 1, "disruptionsAllowed": 2}));
        decrement(&mut budget, "p", "t1").unwrap();
        assert_eq!(budget["status"].get("conditions"), None);
        decrement(&mut budget, "q", "t2").unwrap();
        assert_eq!(budget["status"]["disruptionsAllowed"], 0);
        assert_eq!(budget["status"]["disruptedPods"], json!({"p": "t1", "q": "t2"}));
        assert_eq!(budget["status"]["conditions"][0]["reason"], "InsufficientPods");
        assert!(decrement(&mut budget, "r", "t3").is_err());
    }

    #[test]
    fn conditions_keep_the_time_of_their_last_change() {
        let mut pod = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        mark_as_evicted(&mut pod, "t1");
        mark_as_evicted(&mut pod, "t2");
        let conditions = meta::list_at(&pod, &["status", "conditions"]);
        assert_eq!(conditions.len(), 2);
        assert_eq!(conditions[1]["lastTransitionTime"], "t1");
    }
}
