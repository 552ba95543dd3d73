//! Alarms, kept as a sum of powers of two of etcd's alarm numbers.
//!
//! An alarm somebody raised stays until somebody disarms it, as in etcd. NOSPACE is also on while the last write did not fit
//! on the disk, and that ends with the first one that does: etcd waits to be disarmed, but it stops long before the disk is
//! full, and an API server never disarms anything.

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
