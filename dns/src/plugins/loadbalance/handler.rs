//! Shuffles A, AAAA and MX records; CNAMEs come first and everything else last (CoreDNS' `plugin/loadbalance`).

use crate::plugins::random;
use crate::request::{Handler, Next, Request, Served};
use hickory_proto::rr::{Record, RecordType};

#[derive(Debug)]
pub(super) struct LoadBalance;

impl Handler for LoadBalance {
    fn name(&self) -> &'static str {
        "loadbalance"
    }

    fn serve<'a>(&'a self, request: &'a Request, next: Next<'a>) -> Served<'a> {
        if matches!(request.kind(), RecordType::AXFR | RecordType::IXFR) {
            return next.run(request);
        }
        Box::pin(async move {
            let mut outcome = next.run(request).await;
            if let Ok(answer) = &mut outcome {
                for section in [&mut answer.message.answers, &mut answer.message.additionals] {
                    *section = balanced(std::mem::take(section));
                }
            }
            outcome
        })
    }
}

fn balanced(records: Vec<Record>) -> Vec<Record> {
    if records.len() < 2 {
        return records;
    }
    let (mut cnames, mut addresses, mut mail, mut rest) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for record in records {
        match record.record_type() {
            RecordType::CNAME => cnames.push(record),
            RecordType::A | RecordType::AAAA => addresses.push(record),
            RecordType::MX => mail.push(record),
            _ => rest.push(record),
        }
    }
    shuffle(&mut addresses);
    shuffle(&mut mail);
    cnames.into_iter().chain(rest).chain(addresses).chain(mail).collect()
}

/// Fisher and Yates.
fn shuffle<T>(items: &mut [T]) {
    for last in (1..items.len()).rev() {
        let other = (random() % (last as u64 + 1)) as usize;
        items.swap(last, other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::record;
    use hickory_proto::rr::rdata::{A, CNAME};
    use hickory_proto::rr::{Name, RData};
    use std::collections::HashSet;

    #[test]
    fn addresses_change_places_and_cnames_do_not() {
        let name = Name::from_ascii("a.example.").unwrap();
        let mut records: Vec<_> = (1..4)
            .map(|n| record(name.clone(), 5, RData::A(A::new(10, 0, 0, n))))
            .collect();
        records.push(record(name.clone(), 5, RData::CNAME(CNAME(name))));
        let mut orders = HashSet::new();
        for _ in 0..200 {
            let balanced = balanced(records.clone());
            assert_eq!(balanced[0].record_type(), RecordType::CNAME);
            orders.insert(
                balanced
                    .iter()
                    .map(|record| record.data.to_string())
                    .collect::<Vec<_>>(),
            );
        }
        assert_eq!(orders.len(), 6, "all orders of three addresses occur");
    }
}
