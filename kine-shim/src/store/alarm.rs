//! Alarms, kept as a sum of powers of two of etcd's alarm numbers.

use proto::etcdserverpb::AlarmType;

/// The bit of the NOSPACE alarm.
pub const NO_SPACE: i64 = bit(AlarmType::Nospace);
/// The bit of the CORRUPT alarm.
pub const CORRUPT: i64 = bit(AlarmType::Corrupt);

/// The bit of an alarm; none has none.
pub const fn bit(alarm: AlarmType) -> i64 {
    match alarm {
        AlarmType::None => 0,
        AlarmType::Nospace => 1 << 1,
        AlarmType::Corrupt => 1 << 2,
    }
}
