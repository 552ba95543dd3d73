//! Deletion of everything that a list selects.

use super::Store;
use super::options::DeleteOptions;
use crate::registry::before::namespace_required;
use crate::registry::request::Request;
use crate::storage::interface::{ListOptions, Listed};
use machinery::status::Status;

/// The size of the chunks in which the objects are listed (upstream `deleteCollectionPageSize`).
const PAGE: usize = 10_000;

impl Store {
    /// Deletes what `list` selects, one object after the other as upstream does by default, and answers the objects as
    /// they were listed. Not atomic: an error leaves the rest alone.
    ///
    /// # Errors
    /// Those of the list and of the first deletion that fails; an object that is already gone is no error.
    pub async fn delete_collection(
        &self,
        rq: &Request<'_>,
        options: &DeleteOptions,
        mut list: ListOptions,
    ) -> Result<Listed, Status> {
        let limited = list.limit > 0;
        if !limited {
            list.limit = PAGE;
        }
        let mut all: Option<Listed> = None;
        loop {
            let page = self.list(list.clone()).await?;
            if self.resource.namespaced() && rq.namespace.is_empty() && !page.items.is_empty() {
                // A request for no namespace lists those of all, but none of them has a key in it.
                return Err(namespace_required());
            }
            for item in &page.items {
                let one = Request {
                    namespace: &item.index.namespace,
                    ..*rq
                };
                match self.delete_of_many(&one, &item.index.name, options).await {
                    Err(status) if status.code == 404 => {}
                    other => {
                        other?;
                    }
                }
            }
            list.continue_token.clone_from(&page.continue_token);
            let done = limited || page.continue_token.is_empty();
            match &mut all {
                None => all = Some(page),
                Some(all) => {
                    all.items.extend(page.items);
                    all.continue_token.clear();
                    all.remaining = None;
                }
            }
            if done {
                break;
            }
        }
        all.ok_or_else(|| Status::internal("the list of what to delete had no page"))
    }
}
