use proptest::prelude::*;

use super::*;

fn mark(n: u64) -> Mark {
    Mark::of(Variant::Envelope, &n.to_be_bytes())
}

#[test]
fn a_call_is_admitted_once_also_after_a_restart() {
    let mut guard = ReplayGuard::default();
    let Ok(Admitted::Fresh(record)) = guard.admit(mark(1), Delivery::Call, None) else {
        panic!("the first delivery is fresh")
    };
    assert_eq!(guard.admit(mark(1), Delivery::Call, None), Err(Replayed::Repeated));
    assert_eq!(guard.admit(mark(1), Delivery::Row("m1"), None), Err(Replayed::Repeated));

    let json = serde_json::to_string(&guard).unwrap();
    let mut from_snapshot: ReplayGuard = serde_json::from_str(&json).unwrap();
    let mut from_records = ReplayGuard::default();
    from_records.restore(serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap());
    assert_eq!(from_snapshot, guard);
    assert_eq!(from_records, guard);
    for restored in [&mut from_snapshot, &mut from_records] {
        assert_eq!(restored.admit(mark(1), Delivery::Call, None), Err(Replayed::Repeated));
    }
}

#[test]
fn the_same_row_may_be_read_again_another_may_not_hold_the_same_value() {
    let mut guard = ReplayGuard::default();
    assert!(matches!(guard.admit(mark(1), Delivery::Row("m1"), None), Ok(Admitted::Fresh(_))));
    assert_eq!(guard.admit(mark(1), Delivery::Row("m1"), None), Ok(Admitted::Again));
    assert_eq!(guard.admit(mark(1), Delivery::Row("m2"), None), Err(Replayed::Repeated));
    assert_eq!(guard.admit(mark(1), Delivery::Call, None), Err(Replayed::Repeated));
}

#[test]
fn what_we_sealed_is_refused_when_it_comes_back() {
    let mut guard = ReplayGuard::with_capacity(2, 2);
    let record = guard.note_own(mark(9));
    for n in 0..10 {
        assert!(guard.admit(mark(n), Delivery::Call, None).is_ok() || n == 9);
    }
    assert_eq!(guard.admit(mark(9), Delivery::Call, None), Err(Replayed::Reflected));
    let mut restored = ReplayGuard::with_capacity(2, 2);
    restored.restore(record);
    assert_eq!(restored.admit(mark(9), Delivery::Row("m"), None), Err(Replayed::Reflected));
}

#[test]
fn forgetting_timed_values_costs_nothing() {
    let mut guard = ReplayGuard::with_capacity(3, 1);
    for n in 0..10 {
        assert!(guard.admit(mark(n), Delivery::Call, Some(1_000 + n)).is_ok());
    }
    assert_eq!(guard.remembered(), 3);
    for n in 0..10 {
        assert!(guard.admit(mark(n), Delivery::Call, Some(1_000 + n)).is_err(), "{n} was admitted twice");
    }
    assert_eq!(guard.forgotten_untimed(), 0);
    assert!(guard.admit(mark(10), Delivery::Call, Some(1_010)).is_ok());
}

#[test]
fn forgetting_untimed_values_is_counted() {
    let mut guard = ReplayGuard::with_capacity(2, 1);
    for n in 0..5 {
        assert!(guard.admit(mark(n), Delivery::Call, None).is_ok());
    }
    assert_eq!(guard.forgotten_untimed(), 3);
    assert_eq!(guard.admit(mark(4), Delivery::Call, None), Err(Replayed::Repeated));
    // The stated limit: the oldest is no longer known.
    assert!(guard.admit(mark(0), Delivery::Call, None).is_ok());
}

#[test]
fn a_snapshot_no_guard_wrote_is_refused() {
    let mut guard = ReplayGuard::with_capacity(2, 1);
    assert!(guard.admit(mark(1), Delivery::Call, None).is_ok());
    let mut json = serde_json::to_value(&guard).unwrap();
    let record = json["received"][0].clone();
    json["received"] = serde_json::json!([record, record, record]);
    assert!(serde_json::from_value::<ReplayGuard>(json.clone()).is_err());
    json["received"] = serde_json::json!([]);
    json["own"] = serde_json::json!([record]);
    assert!(serde_json::from_value::<ReplayGuard>(json).is_err());
}

proptest! {
    // Each restart writes and reads the whole memory: more cases are for a longer run (PROPTEST_CASES).
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.div_ceil(4), ..ProptestConfig::default() })]

    /// Against the plainest possible memory: whatever is delivered, in whatever order and with restarts in between, nothing
    /// within the memory is admitted twice, and nothing that carries its sender's time ever is.
    #[test]
    fn nothing_remembered_or_timed_is_admitted_twice(
        deliveries in prop::collection::vec((0u64..40, 0u64..3, any::<bool>()), 0..200),
    ) {
        const CAPACITY: usize = 8;
        let mut guard = ReplayGuard::with_capacity(CAPACITY, 1);
        let mut admitted: Vec<u64> = Vec::new();
        for (n, row, restart) in deliveries {
            if restart {
                guard = serde_json::from_str(&serde_json::to_string(&guard).unwrap()).unwrap();
            }
            // Even values carry their time, which is a part of them.
            let sent_at = (n % 2 == 0).then_some(n * 10);
            let row_id = row.to_string();
            let delivery = if row == 0 { Delivery::Call } else { Delivery::Row(&row_id) };
            let recent = admitted.iter().rev().take(CAPACITY).any(|seen| *seen == n);
            match guard.admit(mark(n), delivery, sent_at) {
                Ok(Admitted::Fresh(_)) => {
                    prop_assert!(!recent, "{} is remembered", n);
                    prop_assert!(sent_at.is_none() || !admitted.contains(&n), "{} carries its time", n);
                    admitted.push(n);
                }
                Ok(Admitted::Again) => prop_assert!(recent && row != 0),
                Err(Replayed::Repeated) => prop_assert!(recent),
                Err(Replayed::Forgotten) => prop_assert!(sent_at.is_some() && !recent),
                Err(Replayed::Reflected) => prop_assert!(false, "none of ours was sealed"),
            }
        }
    }
}
