//! Questions that are answered and not stored (kubernetes `pkg/registry/{authentication,authorization}`).

use super::{Scope, selectors};
use crate::admission::Operation;
use crate::authentication::User;
use crate::authentication::token::TokenAuthenticator;
use crate::authorization::rbac::Rbac;
use crate::authorization::{Attributes, Authorizer};
use crate::endpoints::body;
use crate::endpoints::negotiation::body_format;
use crate::endpoints::options::{WriteKind, WriteOptions};
use crate::registry::before;
use crate::registry::managers::Managers;
use crate::registry::resource::Review;
use crate::registry::store::admit::Write;
use crate::server::request::Body;
use bytes::Bytes;
use http::{Response, StatusCode};
use machinery::field::{Error, ErrorList, Path};
use machinery::gvk::GroupKind;
use machinery::meta;
use machinery::names::node_of_user;
use machinery::rbac::Rule;
use machinery::schema;
use machinery::status::Status;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Those who know the answers.
pub struct Reviewers {
    /// Who may do what.
    pub authorizer: Arc<dyn Authorizer>,
    /// What the roles allow.
    pub rbac: Arc<Rbac>,
    /// Whose tokens they are; `None` when there is no key to check them with.
    pub tokens: Option<Arc<TokenAuthenticator>>,
}

/// Answers a question.
///
/// # Errors
/// 400 and 422 for questions that make no sense.
pub async fn create(
    scope: &Scope,
    review: Review,
    reviewers: &Reviewers,
    sent: &Bytes,
) -> Result<Response<Body>, Status> {
    let options = WriteOptions::read(&scope.query, WriteKind::Create)?;
    let resource = scope.resource();
    let warn = |text: String| scope.cx.warnings.add(text);
    let format = body_format(&scope.parts.headers)?;
    let mut asked = body::object(sent, format, &resource.gvk, options.validation, &warn)?;
    before::wipe_system_fields(&mut asked);
    if resource.namespaced() {
        before::match_namespace(resource, &scope.route.namespace, &mut asked)?;
    } else {
        meta::remove(&mut asked, &["metadata", "namespace"]);
    }
    let manager = scope.field_manager(&options.field_manager);
    // Kinds of which nothing is stored have no other versions.
    let managers = Managers::of(&resource.gvk, std::slice::from_ref(&scope.store().resource), "")?;
    let name = meta::name(&asked).to_owned();
    let write = Write {
        operation: Operation::Create,
        kind: &resource.gvk,
        subresource: "",
        name: &name,
        old: None,
    };
    scope
        .registry(&options.shown, async |rq| {
            managers.update(rq, None, &mut asked, &manager);
            scope.store().admit(rq, &write, &mut asked).await?;
            let problems = problems(review, &asked);
            if !problems.is_empty() {
                let nameless = GroupKind {
                    group: resource.gvk.group.clone(),
                    kind: String::new(),
                };
                return Err(Status::invalid(&nameless, "", &problems));
            }
            scope.store().validate_admission(rq, &write, &asked).await
        })
        .await?;
    let user = &scope.cx.user;
    let mut answered = match review {
        Review::Oneself => oneself(scope),
        Review::Token => token(reviewers, asked).await?,
        Review::Access | Review::LocalAccess => {
            let subject = subject(&asked);
            access(reviewers, &subject, asked)
        }
        Review::OwnAccess => access(reviewers, user, asked),
        Review::OwnRules => own_rules(scope, reviewers, &asked)?,
    };
    schema::leave_out_empty(&resource.gvk, &mut answered);
    scope.value(StatusCode::CREATED, answered, &*resource.columns)
}

/// `ValidateSubjectAccessReview` and its siblings.
fn problems(review: Review, asked: &Value) -> ErrorList {
    let local = review == Review::LocalAccess;
    if !matches!(review, Review::Access | Review::LocalAccess | Review::OwnAccess) {
        return ErrorList::new();
    }
    let path = Path::new("spec");
    let part = |field: &str| meta::at(asked, &["spec", field]).filter(|part| !part.is_null());
    let (resource, other) = (part("resourceAttributes"), part("nonResourceAttributes"));
    let mut errors = ErrorList::new();
    match (resource, other) {
        (Some(_), Some(other)) => errors.push(Error::invalid(
            &path.child("nonResourceAttributes"),
            as_in_go(other),
            "cannot be specified in combination with resourceAttributes",
        )),
        (None, None) => errors.push(Error::invalid(
            &path.child("resourceAttributes"),
            Value::Null,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )),
        _ => {}
    }
    let user = meta::str_at(asked, &["spec", "user"]).unwrap_or_default();
    if review != Review::OwnAccess && user.is_empty() && meta::list_at(asked, &["spec", "groups"]).is_empty() {
        let detail = "at least one of user or group must be specified";
        errors.push(Error::invalid(&path.child("user"), "", detail));
    }
    errors.extend(resource.map(selectors::problems).unwrap_or_default());
    let metadata = meta::map_at(asked, &["metadata"]).into_iter().flatten();
    let mut set = metadata.filter(|(field, _)| *field != "managedFields" && !(local && *field == "namespace"));
    if set.next().is_some() {
        let detail = if local {
            "must be empty except for namespace"
        } else {
            "must be empty"
        };
        let given = asked.get("metadata").cloned().unwrap_or_default();
        errors.push(Error::invalid(&Path::new("metadata"), given, detail));
    }
    if local {
        let namespace = resource.map(|resource| meta::str_at(resource, &["namespace"]).unwrap_or_default());
        if let Some(namespace) = namespace.filter(|namespace| *namespace != meta::namespace(asked)) {
            let path = Path::new("spec.resourceAttributes.namespace");
            errors.push(Error::invalid(&path, namespace, "must match metadata.namespace"));
        }
        if let Some(other) = other {
            let path = Path::new("spec.nonResourceAttributes");
            errors.push(Error::invalid(
                &path,
                as_in_go(other),
                "disallowed on this kind of request",
            ));
        }
    }
    errors
}

/// Upstream prints the fields of its internal type.
fn as_in_go(attributes: &Value) -> Value {
    let text = |field: &str| meta::str_at(attributes, &[field]).unwrap_or_default();
    json!({"Path": text("path"), "Verb": text("verb")})
}

/// Whom a review is about.
fn subject(asked: &Value) -> User {
    let text = |field: &str| meta::str_at(asked, &["spec", field]).unwrap_or_default().to_owned();
    let groups = meta::list_at(asked, &["spec", "groups"]).iter();
    User {
        name: text("user"),
        uid: text("uid"),
        groups: groups.filter_map(|group| group.as_str().map(str::to_owned)).collect(),
        ..User::default()
    }
}

fn access(reviewers: &Reviewers, user: &User, mut asked: Value) -> Value {
    let part = |part: &'static str| {
        let asked = &asked;
        move |field: &str| meta::str_at(asked, &["spec", part, field]).unwrap_or_default()
    };
    let (resource, other) = (part("resourceAttributes"), part("nonResourceAttributes"));
    let is_resource = meta::at(&asked, &["spec", "resourceAttributes"]).is_some_and(Value::is_object);
    let decision = reviewers.authorizer.decide(&Attributes {
        user: &user.name,
        groups: &user.groups,
        verb: if is_resource { resource("verb") } else { other("verb") },
        is_resource,
        group: resource("group"),
        resource: resource("resource"),
        subresource: resource("subresource"),
        namespace: resource("namespace"),
        name: resource("name"),
        path: other("path"),
        field_selector: &field_selector(&asked),
    });
    let mut status = json!({"allowed": decision.allowed});
    if !decision.reason.is_empty() {
        status["reason"] = decision.reason.into();
    }
    let unread = meta::at(&asked, &["spec", "resourceAttributes"]).and_then(selectors::evaluation_error);
    if let Some(unread) = unread {
        status["evaluationError"] = unread.into();
    }
    meta::set(&mut asked, &["status"], status);
    asked
}

/// The field selector of the attributes that are asked about, as a list would send it.
fn field_selector(asked: &Value) -> String {
    let selector = meta::at(asked, &["spec", "resourceAttributes", "fieldSelector"]).unwrap_or(&Value::Null);
    let requirements = meta::list_at(selector, &["requirements"]);
    if requirements.is_empty() {
        return meta::str_at(selector, &["rawSelector"]).unwrap_or_default().to_owned();
    }
    let term = |requirement: &Value| {
        let [value] = meta::list_at(requirement, &["values"]) else {
            return None;
        };
        let operator = match meta::str_at(requirement, &["operator"]) {
            Some("In") => "=",
            Some("NotIn") => "!=",
            _ => return None,
        };
        let value = value
            .as_str()?
            .replace('\\', "\\\\")
            .replace(',', "\\,")
            .replace('=', "\\=");
        Some(format!("{}{operator}{value}", meta::str_at(requirement, &["key"])?))
    };
    requirements.iter().filter_map(term).collect::<Vec<_>>().join(",")
}

fn own_rules(scope: &Scope, reviewers: &Reviewers, asked: &Value) -> Result<Value, Status> {
    let namespace = meta::str_at(asked, &["spec", "namespace"]).unwrap_or_default();
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let user = &scope.cx.user;
    let (mut rules, mut problems) = reviewers.rbac.rules(&user.name, &user.groups, namespace);
    let is_node = node_of_user(&user.name, &user.groups).is_some();
    if is_node {
        problems.insert(0, "node authorizer does not support user rule resolution".to_owned());
    }
    if user.in_group(crate::authentication::user::MASTERS) {
        rules.splice(0..0, Rule::everything());
    }
    let of = |fields: [&'static str; 4], holds: fn(&Rule) -> bool| -> Value {
        let pick = |rule: &Rule| -> Value {
            let mut all = rule.to_value();
            let picked = fields
                .iter()
                .filter_map(|field| Some(((*field).to_owned(), all.get_mut(field)?.take())));
            Value::Object(picked.collect())
        };
        rules.iter().filter(|rule| holds(rule)).map(pick).collect()
    };
    let mut status = json!({
        "incomplete": is_node,
        "resourceRules": of(["verbs", "apiGroups", "resources", "resourceNames"], |rule| !rule.resources.is_empty()),
        "nonResourceRules": of(["verbs", "nonResourceURLs", "", ""], |rule| !rule.non_resource_urls.is_empty()),
    });
    match &problems[..] {
        [] => {}
        [one] => status["evaluationError"] = one.as_str().into(),
        many => status["evaluationError"] = format!("[{}]", many.join(", ")).into(),
    }
    let kind = &scope.resource().gvk;
    Ok(json!({
        "apiVersion": kind.api_version(), "kind": kind.kind, "metadata": {}, "spec": {}, "status": status,
    }))
}

fn oneself(scope: &Scope) -> Value {
    let kind = &scope.resource().gvk;
    json!({
        "apiVersion": kind.api_version(),
        "kind": kind.kind,
        "metadata": {"creationTimestamp": machinery::time::now()},
        "status": {"userInfo": user_info(&scope.cx.user)},
    })
}

/// A user as reviews show it.
fn user_info(user: &User) -> Value {
    let mut info = Map::new();
    info.insert("username".to_owned(), user.name.as_str().into());
    if !user.uid.is_empty() {
        info.insert("uid".to_owned(), user.uid.as_str().into());
    }
    if !user.groups.is_empty() {
        info.insert("groups".to_owned(), user.groups.clone().into());
    }
    if !user.extra.is_empty() {
        info.insert("extra".to_owned(), json!(user.extra));
    }
    info.into()
}

async fn token(reviewers: &Reviewers, mut asked: Value) -> Result<Value, Status> {
    let token = meta::str_at(&asked, &["spec", "token"]).unwrap_or_default().to_owned();
    if token.is_empty() {
        return Err(Status::bad_request(
            "token is required for TokenReview in authentication",
        ));
    }
    let audiences = meta::list_at(&asked, &["spec", "audiences"]).iter();
    let audiences: Vec<String> = audiences.filter_map(|one| one.as_str().map(str::to_owned)).collect();
    const UNKNOWN: &str = "invalid bearer token";
    let refused = |why: String| json!({"user": {}, "error": why});
    let status = match &reviewers.tokens {
        Some(tokens) if tokens.is_ours(&token) => match tokens.authenticate(&token, &audiences).await {
            Ok(accepted) => json!({
                "authenticated": true,
                "user": user_info(&accepted.user),
                "audiences": accepted.audiences,
            }),
            Err(why) => refused(format!("[{UNKNOWN}, {why}]")),
        },
        _ => refused(UNKNOWN.to_owned()),
    };
    meta::set(&mut asked, &["status"], status);
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(review: Review, asked: &Value) -> Vec<String> {
        problems(review, asked).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn questions_that_make_no_sense_are_refused() {
        let resource = json!({"verb": "get", "resource": "pods", "namespace": "n"});
        let path = json!({"verb": "get", "path": "/"});
        let (user, own, local) = (Review::Access, Review::OwnAccess, Review::LocalAccess);
        for (review, asked, expected) in [
            (
                user,
                json!({"metadata": {}, "spec": {"user": "u", "resourceAttributes": resource}}),
                None,
            ),
            (own, json!({"spec": {"nonResourceAttributes": path}}), None),
            (
                user,
                json!({"spec": {"resourceAttributes": resource}}),
                Some("spec.user: "),
            ),
            (
                own,
                json!({"spec": {}}),
                Some("spec.resourceAttributes: Invalid value: null: exactly one"),
            ),
            (
                own,
                json!({"spec": {"resourceAttributes": resource, "nonResourceAttributes": path}}),
                Some("spec.nonResourceAttributes: "),
            ),
            (
                own,
                json!({"metadata": {"name": "x"}, "spec": {"nonResourceAttributes": path}}),
                Some("metadata: "),
            ),
            (
                local,
                json!({"metadata": {"namespace": "m"}, "spec": {"user": "u", "resourceAttributes": resource}}),
                Some("spec.resourceAttributes.namespace: "),
            ),
            (
                local,
                json!({"metadata": {"namespace": "n"}, "spec": {"user": "u", "nonResourceAttributes": path}}),
                Some("spec.nonResourceAttributes: "),
            ),
            (
                own,
                json!({"spec": {"resourceAttributes": {"labelSelector": {}}}}),
                Some("spec.resourceAttributes.labelSelector.requirements: Required value"),
            ),
        ] {
            let found = texts(review, &asked);
            match expected {
                None => assert_eq!(found, Vec::<String>::new(), "{asked}"),
                Some(start) => assert!(found.len() == 1 && found[0].starts_with(start), "{asked}: {found:?}"),
            }
        }
    }

    #[test]
    fn what_is_unknown_of_a_user_is_left_out() {
        assert_eq!(user_info(&User::new("u", &[])), json!({"username": "u"}));
        let account = user_info(&User::service_account("n", "a", "1"));
        assert_eq!(account["uid"], "1");
        assert_eq!(account["groups"][1], "system:serviceaccounts:n");
    }
}
