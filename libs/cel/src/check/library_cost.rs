//! What Kubernetes' own functions may cost (k8s.io/apiserver `pkg/cel/library/cost.go`).

use super::cost::{Cost, Coster, LIST, OBJECT, PER_CHARACTER, PER_REGEX_CHARACTER};
use super::declarations::Overload;
use super::types::Type;
use crate::ast::{Call, Expr, Kind, Literal, operators as op};

/// What asking the authorizer costs.
const CHECK: u64 = 350_000;
/// The longest regular expression behind a named format.
const FORMAT_REGEX: f64 = 128.0;
/// The longest name of a format.
const FORMAT_NAME: u64 = 64;
/// The sizes of IP addresses in bytes.
const ADDRESS: Cost = Cost { min: 4, max: 16 };

impl Coster<'_> {
    /// Kubernetes' own functions.
    pub(super) fn library(&mut self, call: &Call, overload: &Overload) -> Option<(Cost, Option<Cost>)> {
        let one = Some((Cost::fixed(1), None));
        let target = call.target.as_deref();
        let first = call.args.first();
        let from_text = |is: &Type| *is == Type::String;
        match call.function.as_str() {
            "check" => Some((Cost::fixed(CHECK), None)),
            "serviceAccount" | "path" | "group" | "resource" | "subresource" | "namespace" | "name" | "allowed"
            | "reason" | "error" | "errored" => one,
            "fieldSelector" | "labelSelector" => {
                let length = self.size_or_unknown(first?);
                let requirements = length.scaled(0.5).scaled((LIST + OBJECT) as f64);
                let cost = Cost::fixed(LIST).plus(length.scaled(PER_CHARACTER)).plus(requirements);
                Some((cost, None))
            }
            "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => {
                let target = target?;
                let size = self.size_or_unknown(target);
                let of = match self.types.of(target) {
                    Type::List(of) => (**of).clone(),
                    _ => return Some((size.scaled(PER_CHARACTER), None)),
                };
                let mut each = Cost::fixed(1);
                if matches!(of, Type::String | Type::Bytes) {
                    each = each.plus(self.item_size(target).scaled(PER_CHARACTER));
                }
                Some((size.times(each), None))
            }
            "slice" => {
                let [start, end] = call.args.as_slice() else {
                    return None;
                };
                let most = self.size_or_unknown(target?).max;
                let length = whole_number(end, most).wrapping_sub(whole_number(start, 0));
                Some(list_call(1.0, Cost::fixed(length)))
            }
            "lists.range" => Some(list_call(1.0, Cost::fixed(whole_number(first?, u64::MAX)))),
            "reverse" => Some(list_call(1.0, self.size_or_unknown(target?))),
            "flatten" => {
                let depth = first.map_or(1, |depth| whole_number(depth, u64::MAX));
                Some(list_call(depth as f64, self.size_or_unknown(target?)))
            }
            "distinct" | "sort" | "@sortByAssociatedKeys" => {
                let compared = if overload.args.len() > 1 { first? } else { target? };
                let size = self.size_or_unknown(compared);
                let text =
                    matches!(overload.args.last(), Some(Type::List(of)) if matches!(**of, Type::String | Type::Bytes));
                let factor = if text { 2.0 + PER_CHARACTER } else { 2.0 };
                Some(list_call(factor, size.times(size)))
            }
            "sets.contains" | "sets.intersects" | "sets.equivalent" => {
                let [left, right] = call.args.as_slice() else {
                    return None;
                };
                let factor = if call.function == "sets.equivalent" { 2.0 } else { 1.0 };
                let sizes = self.size_or_unknown(left).times(self.size_or_unknown(right));
                Some((sizes.scaled(factor).plus(Cost::fixed(1)), None))
            }
            "url" | "jsonpatch.escapeKey" => {
                let size = self.size_or_unknown(first?);
                Some((size.scaled(PER_CHARACTER), Some(size)))
            }
            "lowerAscii" | "upperAscii" | "substring" | "trim" => {
                let size = self.size_or_unknown(target?);
                Some((size.scaled(PER_CHARACTER), Some(size)))
            }
            "replace" => {
                let [old, new, ..] = call.args.as_slice() else {
                    return None;
                };
                let size = self.size_or_unknown(target?);
                let result = replaced(size, self.size_or_unknown(old), self.size_or_unknown(new));
                Some((size.scaled(2.0 * PER_CHARACTER), Some(result)))
            }
            "split" => {
                let size = self.size_or_unknown(target?);
                let max = match call.args.get(1).map(|arg| &arg.kind) {
                    Some(Kind::Literal(Literal::Int(limit))) => *limit as u64,
                    _ => size.max,
                };
                Some((size.scaled(2.0 * PER_CHARACTER), Some(Cost { min: 0, max })))
            }
            "join" => {
                let target = target?;
                let count = self.size_or_unknown(target);
                let mut size = match self.types.of(target) {
                    Type::List(_) => count.times(self.item_size(target)),
                    _ => Cost::fixed(0),
                };
                if let Some(separator) = first {
                    let separators = Cost {
                        min: count.min.saturating_sub(1),
                        max: count.max.saturating_sub(1),
                    };
                    size = size.plus(self.size_or_unknown(separator).times(separators));
                }
                Some((size.scaled(PER_CHARACTER), Some(size)))
            }
            "find" | "findAll" => {
                let size = self.size_or_unknown(target?);
                let text = size.plus(Cost::fixed(1)).scaled(PER_CHARACTER);
                let regex = self.size_or_unknown(first?).scaled(PER_REGEX_CHARACTER);
                Some((text.times(regex), Some(Cost { min: 0, max: size.max })))
            }
            "ip" if overload.member => one,
            "cidr" | "isIP" | "isCIDR" | "ip" | "quantity" | "isQuantity" | "semver" | "isSemver" => {
                Some((self.size_or_unknown(first?).scaled(PER_CHARACTER), None))
            }
            "ip.isCanonical" => Some((self.size_or_unknown(first?).scaled(2.0 * PER_CHARACTER), None)),
            "masked"
            | "prefixLength"
            | "family"
            | "isUnspecified"
            | "isLoopback"
            | "isLinkLocalMulticast"
            | "isLinkLocalUnicast"
            | "isGlobalUnicast"
            | "format.named"
            | "sign"
            | "asInteger"
            | "isInteger"
            | "asApproximateFloat"
            | "isGreaterThan"
            | "isLessThan"
            | "compareTo"
            | "add"
            | "sub"
            | "major"
            | "minor"
            | "patch"
            | "getScheme"
            | "getHostname"
            | "getHost"
            | "getPort"
            | "getEscapedPath"
            | "getQuery" => one,
            "containsIP" | "containsCIDR" => {
                let mut cost = ADDRESS.plus(ADDRESS).scaled(PER_CHARACTER);
                if call.function == "containsCIDR" {
                    cost = cost.plus(ADDRESS.scaled(PER_CHARACTER)).plus(Cost::fixed(1));
                }
                if overload.args.get(1).is_some_and(from_text) {
                    cost = cost.plus(self.size_or_unknown(first?).scaled(PER_CHARACTER));
                }
                Some((cost, None))
            }
            "validate" => {
                let size = self.size_or_unknown(first?);
                let cost = size.scaled(PER_CHARACTER).scaled(FORMAT_REGEX * PER_REGEX_CHARACTER);
                Some((cost, None))
            }
            op::EQUALS => {
                let [left, right] = call.args.as_slice() else {
                    return None;
                };
                let of = self.types.of(left);
                if of != self.types.of(right) {
                    return None;
                }
                match of.name() {
                    "net.IP" | "net.CIDR" | "kubernetes.Quantity" | "kubernetes.Semver" => one,
                    name if name.starts_with("kubernetes.authorization.") => one,
                    "kubernetes.NamedFormat" => {
                        let compared = Cost {
                            min: 1,
                            max: FORMAT_NAME,
                        };
                        Some((compared.scaled(PER_CHARACTER), None))
                    }
                    "kubernetes.URL" => {
                        let max = self.size(right).map_or(1, |size| size.max);
                        Some((Cost { min: 1, max }.scaled(PER_CHARACTER), None))
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn item_size(&mut self, list: &Expr) -> Cost {
        self.sizes
            .size(&self.path_to(list, "@items"))
            .unwrap_or_else(Cost::unknown)
    }
}

/// A call that makes a list of this size.
fn list_call(factor: f64, size: Cost) -> (Cost, Option<Cost>) {
    (size.scaled(factor).plus(Cost::fixed(1 + LIST)), Some(size))
}

/// A literal number, which is not negative; another where it is none.
fn whole_number(expr: &Expr, otherwise: u64) -> u64 {
    match expr.kind {
        Kind::Literal(Literal::Int(number)) => u64::try_from(number).unwrap_or_default(),
        _ => otherwise,
    }
}

/// The size of a text in which parts were replaced.
fn replaced(size: Cost, old: Cost, new: Cost) -> Cost {
    let fit = |size: u64, part: u64| (size as f64 / part as f64).ceil() as u64;
    let (most, most_kept) = match old.min {
        0 => (size.max.saturating_add(1), size.max),
        shortest if new.max <= shortest => (0, size.max),
        shortest => (fit(size.max, shortest), 0),
    };
    let (least, least_kept) = match old.max {
        0 => (size.min.saturating_add(1), size.min),
        longest if longest <= new.min => (0, size.min),
        longest => (fit(size.min, longest), 0),
    };
    let count = Cost { min: least, max: most };
    let kept = Cost {
        min: least_kept,
        max: most_kept,
    };
    count.times(new).plus(kept)
}
