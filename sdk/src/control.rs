//! Who drives a session, as a phone may believe it: a pure reducer.
//!
//! The terminal drives (*local*) or the phone does (*remote*). What is not known is not guessed: a phone that is not
//! connected, and a session the server does not call alive, are *offline*, whatever was true before.

/// Whether something is there. Not knowing is not the same as knowing that it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Presence {
    /// The server calls it alive.
    Online,
    /// The server, or itself at its end, says it is gone.
    Offline,
    /// The phone is not connected, or has not heard of it since it is.
    #[default]
    Unknown,
}

/// Who may drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Driver {
    /// The terminal.
    Local,
    /// The phone.
    Remote,
}

/// Who drives, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Control {
    /// Nobody knows of it being alive.
    Offline,
    /// The terminal.
    Local,
    /// The phone.
    Remote,
    /// It is being handed over to this one.
    Switching(Driver),
}

/// What is known of one session's control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ControlState {
    presence: Presence,
    driver: Driver,
    /// To whom it is being handed over, and how many askers wait.
    switching: Option<(Driver, u32)>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ControlInput {
    /// The session came, went, or nobody knows.
    Presence(Presence),
    /// The session says who drives; a session that says nothing is driven by the phone, as Happy's app reads it.
    Driver(Driver),
    /// Somebody here asked for a hand-over.
    Asked(Driver),
    /// That was answered: whether this one drives now, or nothing came of it.
    Answered {
        /// Who was asked for.
        to: Driver,
        /// Whether it was done.
        done: bool,
    },
}

impl Default for ControlState {
    fn default() -> Self {
        Self { presence: Presence::Unknown, driver: Driver::Remote, switching: None }
    }
}

impl ControlState {
    /// The state after something happened.
    #[must_use]
    pub fn reduce(mut self, input: ControlInput) -> Self {
        match input {
            ControlInput::Presence(presence) => {
                self.presence = presence;
                if presence != Presence::Online {
                    // Whoever waits hears how the call ended; nobody is shown a hand-over that may never come.
                    self.switching = None;
                }
            }
            ControlInput::Driver(driver) => self.driver = driver,
            ControlInput::Asked(to) if self.presence == Presence::Online => {
                self.switching = match self.switching {
                    Some((before, waiting)) if before == to => Some((to, waiting.saturating_add(1))),
                    // The later wish is the one shown; the earlier asker is answered by the session all the same.
                    _ => Some((to, 1)),
                };
            }
            ControlInput::Asked(_) => {}
            ControlInput::Answered { to, done } => {
                if done {
                    self.driver = to;
                }
                self.switching = match self.switching {
                    Some((shown, waiting)) if shown == to && waiting > 1 => Some((shown, waiting - 1)),
                    Some((shown, _)) if shown == to => None,
                    other => other,
                };
            }
        }
        self
    }

    /// Who drives.
    #[must_use]
    pub fn control(self) -> Control {
        match (self.presence, self.switching, self.driver) {
            (Presence::Offline | Presence::Unknown, _, _) => Control::Offline,
            (Presence::Online, Some((to, _)), _) => Control::Switching(to),
            (Presence::Online, None, Driver::Local) => Control::Local,
            (Presence::Online, None, Driver::Remote) => Control::Remote,
        }
    }

    /// Whether it is there.
    #[must_use]
    pub fn presence(self) -> Presence {
        self.presence
    }

    /// Whether the phone may send messages: only while it drives.
    #[must_use]
    pub fn can_send(self) -> bool {
        self.control() == Control::Remote
    }

    /// Whether the phone may take control: only while the terminal has it.
    #[must_use]
    pub fn can_take_control(self) -> bool {
        self.control() == Control::Local
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, prop_oneof};
    use proptest::{collection, prop_assert, prop_assert_eq, proptest};

    use super::ControlInput::{Answered, Asked};
    use super::Driver::{Local, Remote};
    use super::Presence::{Offline, Online, Unknown};
    use super::*;

    fn after(inputs: &[ControlInput]) -> ControlState {
        inputs.iter().fold(ControlState::default(), |state, input| state.reduce(*input))
    }

    #[test]
    fn the_table() {
        use ControlInput::{Driver as Drives, Presence as Is};
        // inputs → (control, can send, can take control)
        let table: &[(&[ControlInput], Control, bool, bool)] = &[
            (&[], Control::Offline, false, false),
            (&[Drives(Remote)], Control::Offline, false, false),
            (&[Is(Online)], Control::Remote, true, false),
            (&[Is(Online), Drives(Local)], Control::Local, false, true),
            (&[Drives(Local), Is(Online)], Control::Local, false, true),
            (&[Is(Online), Is(Unknown)], Control::Offline, false, false),
            (&[Is(Online), Is(Offline)], Control::Offline, false, false),
            (&[Is(Online), Drives(Local), Is(Unknown), Is(Online)], Control::Local, false, true),
            (&[Asked(Remote)], Control::Offline, false, false),
            (&[Is(Online), Drives(Local), Asked(Remote)], Control::Switching(Remote), false, false),
            (
                &[Is(Online), Drives(Local), Asked(Remote), Answered { to: Remote, done: true }],
                Control::Remote,
                true,
                false,
            ),
            (
                &[Is(Online), Drives(Local), Asked(Remote), Answered { to: Remote, done: false }],
                Control::Local,
                false,
                true,
            ),
            // The session's own word does not end what was asked for: a reply means done, its absence does not.
            (
                &[Is(Online), Drives(Local), Asked(Remote), Drives(Remote)],
                Control::Switching(Remote),
                false,
                false,
            ),
            // Two askers: shown until both are answered.
            (
                &[
                    Is(Online),
                    Drives(Local),
                    Asked(Remote),
                    Asked(Remote),
                    Answered { to: Remote, done: true },
                ],
                Control::Switching(Remote),
                false,
                false,
            ),
            // The later of two wishes is shown; the answer to the earlier does not end it.
            (
                &[Is(Online), Asked(Local), Asked(Remote), Answered { to: Local, done: true }],
                Control::Switching(Remote),
                false,
                false,
            ),
            // A hand-over that the connection cut off is not shown for ever.
            (&[Is(Online), Asked(Local), Is(Unknown), Is(Online)], Control::Remote, true, false),
            // A late answer after that is believed.
            (
                &[Is(Online), Asked(Local), Is(Unknown), Is(Online), Answered { to: Local, done: true }],
                Control::Local,
                false,
                true,
            ),
        ];
        for (inputs, control, can_send, can_take) in table {
            let state = after(inputs);
            assert_eq!(
                (state.control(), state.can_send(), state.can_take_control()),
                (*control, *can_send, *can_take),
                "{inputs:?}"
            );
        }
    }

    fn input() -> impl Strategy<Value = ControlInput> {
        let driver = || prop_oneof![Just(Local), Just(Remote)];
        prop_oneof![
            prop_oneof![Just(Online), Just(Offline), Just(Unknown)].prop_map(ControlInput::Presence),
            driver().prop_map(ControlInput::Driver),
            driver().prop_map(Asked),
            (driver(), proptest::bool::ANY).prop_map(|(to, done)| Answered { to, done }),
        ]
    }

    proptest! {
        #[test]
        fn what_may_be_done_follows_from_who_drives(inputs in collection::vec(input(), 0..40)) {
            let state = after(&inputs);
            prop_assert!(!(state.can_send() && state.can_take_control()));
            prop_assert_eq!(state.can_send(), state.control() == Control::Remote);
            if state.presence() != Online {
                prop_assert_eq!(state.control(), Control::Offline);
            }
        }

        /// Whatever happened, a hand-over is no longer shown when as many were answered as were asked for.
        #[test]
        fn every_hand_over_ends(asked in collection::vec(prop_oneof![Just(Local), Just(Remote)], 0..20)) {
            let mut state = after(&[ControlInput::Presence(Online)]);
            for to in &asked {
                state = state.reduce(Asked(*to));
            }
            for to in &asked {
                state = state.reduce(Answered { to: *to, done: true });
            }
            prop_assert!(!matches!(state.control(), Control::Switching(_)));
        }
    }
}
