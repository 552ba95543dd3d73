//! Applies the first rule that fits, or several with `continue`, and undoes it in the answer.

use super::rule::{Field, Rule};
use crate::request::{Handler, Next, Request, Served};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{Name, RData};

pub(super) struct Rewrite {
    pub(super) rules: Vec<Rule>,
}

impl Handler for Rewrite {
    fn name(&self) -> &'static str {
        "rewrite"
    }

    fn serve<'a>(&'a self, request: &'a Request, next: Next<'a>) -> Served<'a> {
        let mut current: Option<Request> = None;
        // Names to put back in place of the rewritten ones, the latest first.
        let mut restore: Vec<(Name, Name)> = Vec::new();
        for rule in &self.rules {
            let before = current.as_ref().unwrap_or(request);
            let Some(after) = rule.apply(before) else { continue };
            if matches!(rule.field, Field::Name { restore: true, .. }) {
                restore.insert(0, (after.name().clone(), before.name().clone()));
            }
            current = Some(after);
            if !rule.proceed {
                break;
            }
        }
        let Some(rewritten) = current else {
            return next.run(request);
        };
        Box::pin(async move {
            let mut outcome = next.run(&rewritten).await;
            if let Ok(answer) = &mut outcome {
                let message = &mut answer.message;
                message.queries = vec![request.question.clone()];
                for record in message
                    .answers
                    .iter_mut()
                    .chain(&mut message.authorities)
                    .chain(&mut message.additionals)
                {
                    for (from, to) in &restore {
                        if record.name == *from {
                            record.name = to.clone();
                        }
                        match &mut record.data {
                            RData::CNAME(CNAME(target)) if target == from => *target = to.clone(),
                            _ => {}
                        }
                    }
                }
            }
            outcome
        })
    }
}
