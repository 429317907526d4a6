//! Accounts and pairing: the real daemon with the relay inside it, and the sdk as the phone.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use delight_crypto::Dialect;
use delight_proto::api::method::{
    AccountCreate, AccountCreateParams, AccountExport, AccountImport, AccountImportParams, AccountResult,
    AccountShow, DaemonStatus, DeviceList, Empty, PairBegin, PairBeginParams, PairBeginResult, PairCancel,
    PairWait, PairWaitParams, SessionSpawn, Unpair, UplinkState, UplinkStatus,
};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::sync::bounded::Hidden;
use delight_sdk::{Account, Kind, PairingForm, Phone, Server};
use delight_tests::api::{Client, spawn};
use delight_tests::daemon::Daemon;
use delight_tests::{Sandbox, binaries, kernel, until_some};
use nix::sys::signal::Signal;

use crate::uplink::rig::Relay;

/// A daemon with a relay inside, and the relay's URL.
fn with_relay() -> (Sandbox, Daemon, String) {
    let sandbox = Sandbox::new();
    fs::write(&sandbox.place().config, "[relay]\nlisten = \"127.0.0.1:0\"\n").unwrap();
    let daemon = sandbox.start_daemon();
    let relay =
        sandbox.client().call::<DaemonStatus>(&Empty {}).unwrap().relay.expect("a relay was asked for");
    let url = relay.url.unwrap_or_else(|| panic!("the relay does not run: {}", relay.reason));
    (sandbox, daemon, url)
}

fn phone(url: &str) -> Phone {
    Phone::connect(Server::new(url).unwrap(), Account::create(Dialect::Happy).unwrap()).unwrap()
}

fn begin(client: &mut Client) -> PairBeginResult {
    client.call::<PairBegin>(&PairBeginParams { server: None }).expect("pairing begins")
}

fn wait(
    client: &mut Client,
    offer: &PairBeginResult,
) -> Result<delight_proto::api::method::PairWaitResult, Refusal> {
    client.call::<PairWait>(&PairWaitParams { pairing: offer.pairing.clone() })
}

fn show(client: &mut Client) -> Result<AccountResult, Refusal> {
    client.call::<AccountShow>(&Empty {})
}

fn create(client: &mut Client, server: Option<&str>) -> Result<AccountResult, Refusal> {
    client.call::<AccountCreate>(&AccountCreateParams { server: server.map(str::to_owned) })
}

#[test]
fn a_phone_pairs_the_machine_and_both_show_the_same_number() {
    let (sandbox, daemon, url) = with_relay();
    let mut client = sandbox.client();
    assert_eq!(show(&mut client).unwrap_err().code, Code::NotFound);
    let offer = begin(&mut client);
    assert_eq!(offer.server, url);
    assert!(offer.link.starts_with("delight://terminal?"), "{offer:?}");
    let approved = phone(&url).approve(&offer.happy_link, None).wait().unwrap();
    let paired = wait(&mut client, &offer).unwrap();
    assert_eq!(paired.number, approved.comparison);
    assert!(!paired.account.has_secret, "the phone gives as little as it can");
    assert_eq!(wait(&mut client, &offer).unwrap(), paired, "who asks again is told again");
    let account = sandbox.place().account();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(&account), mode(&account.join("key.json"))), (0o700, 0o600));
    // Linked once: nothing replaces the keys.
    let kept = fs::read(account.join("key.json")).unwrap();
    let again = client.call::<PairBegin>(&PairBeginParams { server: None }).unwrap_err();
    assert_eq!(again.code, Code::Conflict);
    assert_eq!(create(&mut client, None).unwrap_err().code, Code::Conflict);
    assert_eq!(client.call::<AccountExport>(&Empty {}).unwrap_err().code, Code::WrongState);
    // The next daemon knows it, too.
    daemon.kill9();
    let _daemon = sandbox.start_daemon();
    let mut client = sandbox.client();
    let shown = show(&mut client).unwrap();
    assert_eq!(shown.machine, paired.account.machine);
    assert_eq!(fs::read(account.join("key.json")).unwrap(), kept);
}

/// "The code on the screen was good for ever": what nobody answers in its time is over on both sides, and links nobody.
#[test]
fn an_offer_that_expired_is_refused_here_and_on_the_phone() {
    let sandbox = Sandbox::new();
    let relay = Relay::with(&sandbox, "127.0.0.1:0", "pairing_lifetime = 1\n");
    let _daemon = sandbox.start_daemon();
    let mut client = sandbox.client();
    let offer = client.call::<PairBegin>(&PairBeginParams { server: Some(relay.url()) }).unwrap();
    let refusal = wait(&mut client, &offer).unwrap_err();
    assert_eq!(refusal.code, Code::Timeout, "{refusal}");
    assert!(refusal.reason.contains("expired") && refusal.fix.contains("delightctl pair"), "{refusal}");
    let late = phone(&relay.url()).approve(&offer.happy_link, None).wait().unwrap_err();
    assert_eq!(late.kind, Kind::NotFound, "{late}");
    assert_eq!(show(&mut client).unwrap_err().code, Code::NotFound, "nobody was linked");
}

/// The form of phones that know no other: the machine becomes a full member of the account.
#[test]
fn a_phone_may_hand_over_the_whole_account() {
    let (sandbox, _daemon, url) = with_relay();
    let mut client = sandbox.client();
    let offer = begin(&mut client);
    let phone = phone(&url);
    let approved = phone.approve(&offer.happy_link, Some(PairingForm::Master)).wait().unwrap();
    let paired = wait(&mut client, &offer).unwrap();
    assert!(paired.account.has_secret);
    assert_eq!(paired.number, approved.comparison);
    let backup = client.call::<AccountExport>(&Empty {}).unwrap().backup;
    assert_eq!(*backup.expose(), *phone.account().export());
}

#[test]
fn leaving_deletes_the_keys_whether_the_server_can_be_told_or_not() {
    let (sandbox, _daemon, url) = with_relay();
    let mut client = sandbox.client();
    create(&mut client, None).unwrap();
    let key = sandbox.place().account().join("key.json");
    assert!(key.exists());
    client.call::<DeviceList>(&Empty {}).expect("the server knows the account");
    let left = client.call::<Unpair>(&Empty {}).unwrap();
    assert!(left.told, "{left:?}");
    assert!(!key.exists());
    assert_eq!(show(&mut client).unwrap_err().code, Code::NotFound);
    let status = client.call::<UplinkStatus>(&Empty {}).unwrap();
    assert_eq!((status.state, status.server), (UplinkState::NotLinked, None));

    // Another machine of that server, which then goes away.
    let (other, _other_daemon) = Sandbox::with_daemon();
    let mut other_client = other.client();
    create(&mut other_client, Some(&url)).unwrap();
    drop(_daemon);
    let left = other_client.call::<Unpair>(&Empty {}).unwrap();
    assert!(!left.told && left.reason.contains("the server still lists this machine"), "{left:?}");
    assert!(!other.place().account().join("key.json").exists());
}

#[test]
fn an_account_goes_to_another_machine_by_its_backup() {
    let (sandbox, _daemon, url) = with_relay();
    let mut client = sandbox.client();
    let made = create(&mut client, None).unwrap();
    let backup = client.call::<AccountExport>(&Empty {}).unwrap().backup;
    assert_eq!(backup.expose().len(), 44);
    let (other, other_daemon) = Sandbox::with_daemon();
    let mut other_client = other.client();
    let import = |client: &mut Client, backup: &str, server: Option<&str>| {
        let backup = Hidden::new(backup.to_owned());
        client.call::<AccountImport>(&AccountImportParams { backup, server: server.map(str::to_owned) })
    };
    let none = import(&mut other_client, backup.expose(), None).unwrap_err();
    assert!(none.fix.contains("--server"), "no server is known here: {none:?}");
    for wrong in ["canary", "", "Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5"] {
        let refusal = import(&mut other_client, wrong, Some(&url)).unwrap_err();
        assert_eq!(refusal.code, Code::BadParams);
        assert!(!format!("{refusal:?}").contains("canary"), "{refusal:?}");
    }
    let imported = import(&mut other_client, backup.expose(), Some(&url)).unwrap();
    assert_eq!(imported.account, made.account);
    assert!(imported.machine != made.machine && imported.has_secret);
    for logs in [sandbox.daemon_logs(), other.daemon_logs()] {
        assert!(!logs.contains(backup.expose()), "the secret is in a log");
    }
    drop(other_daemon);
}

#[test]
fn an_offer_is_replaced_by_the_next_and_ends_when_it_is_given_up() {
    let (sandbox, _daemon, url) = with_relay();
    let (mut client, mut second) = (sandbox.client(), sandbox.client());
    let first = begin(&mut client);
    let number = client.send::<PairWait>(&PairWaitParams { pairing: first.pairing.clone() }).unwrap();
    let offer = begin(&mut second);
    let refusal = client.answer_to::<PairWait>(number).unwrap().unwrap_err();
    assert_eq!(refusal.code, Code::Conflict);
    assert!(refusal.reason.contains("another pairing"), "{refusal}");
    assert_eq!(wait(&mut client, &first).unwrap_err().code, Code::NotFound);
    let number = client.send::<PairWait>(&PairWaitParams { pairing: offer.pairing.clone() }).unwrap();
    second.call::<PairCancel>(&Empty {}).unwrap();
    let refusal = client.answer_to::<PairWait>(number).unwrap().unwrap_err();
    assert!(refusal.reason.contains("given up"), "{refusal}");
    // A phone that scans it now answers nobody: the secret is gone.
    let _ = phone(&url).approve(&offer.happy_link, None).wait();
    assert_eq!(show(&mut client).unwrap_err().code, Code::NotFound);
    // A third one works.
    let offer = begin(&mut client);
    phone(&url).approve(&offer.link, None).wait().unwrap();
    wait(&mut client, &offer).unwrap();
}

/// "An unreadable key file was replaced by a fresh one, and I was locked out of everything." [sync-protocol, fault 7]
#[test]
fn keys_that_cannot_be_read_are_never_replaced_and_keep_nobody_from_their_sessions() {
    let sandbox = Sandbox::new();
    let account = sandbox.place().account();
    fs::create_dir(&account).unwrap();
    fs::set_permissions(&account, fs::Permissions::from_mode(0o700)).unwrap();
    let key = account.join("key.json");
    fs::write(&key, "{\"version\": 1, canary").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let _daemon = sandbox.start_daemon();
    let mut client = sandbox.client();
    client.spawn(&["sleep", "1000"]);
    let refusals = [
        show(&mut client).unwrap_err(),
        create(&mut client, Some("http://127.0.0.1:9")).unwrap_err(),
        client.call::<PairBegin>(&PairBeginParams { server: Some("http://127.0.0.1:9".into()) }).unwrap_err(),
        client.call::<Unpair>(&Empty {}).unwrap_err(),
    ];
    for refusal in refusals {
        assert_eq!(refusal.code, Code::Storage, "{refusal}");
        assert!(refusal.reason.contains("left as it is") && !refusal.fix.is_empty(), "{refusal:?}");
        assert!(!format!("{refusal:?}").contains("canary"));
    }
    assert_eq!(fs::read_to_string(&key).unwrap(), "{\"version\": 1, canary");
    let status = client.call::<UplinkStatus>(&Empty {}).unwrap();
    assert_eq!(status.state, UplinkState::Refused);
    assert!(status.reason.contains("key.json"), "{status:?}");
}

/// An agent that can run commands must not be able to take the account with it.
#[test]
fn nobody_inside_a_session_gets_the_secret_or_pairs() {
    let (sandbox, _daemon, _) = with_relay();
    let mut client = sandbox.client();
    create(&mut client, None).unwrap();
    let ctl = binaries::program("delightctl");
    let script =
        format!("{0} account export; {0} unpair --yes; echo status $?; sleep 1000", ctl.to_str().unwrap());
    let mut params = spawn(&["sh", "-c", &script]);
    let place = sandbox.place();
    for (name, path) in [("DELIGHT_STATE_DIR", &place.state), ("DELIGHT_RUNTIME_DIR", &place.runtime)] {
        params.env.insert(name.to_owned(), path.to_str().unwrap().to_owned());
    }
    let id = client.call::<SessionSpawn>(&params).unwrap().id;
    client.until_output(id, "status 5");
    let backup = client.call::<AccountExport>(&Empty {}).unwrap().backup;
    let journal = format!("{:?}", client.journal(id));
    assert!(!journal.contains(backup.expose().as_str()));
    assert!(show(&mut client).is_ok(), "it is still linked");
}

#[test]
fn the_relay_is_off_and_costs_nothing_unless_it_is_asked_for() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let status = sandbox.client().call::<DaemonStatus>(&Empty {}).unwrap();
    assert_eq!(status.relay, None);
    assert!(!sandbox.place().relay().exists());
    assert!(!sandbox.place().account().exists());
    let refusal = sandbox.client().call::<PairBegin>(&PairBeginParams { server: None }).unwrap_err();
    assert!(refusal.fix.contains("up --relay"), "{refusal:?}");
    // One that was not asked for at the start is not there, and that is said.
    sandbox.ctl(["up", "--relay"]).ends(6);
}

#[test]
fn a_relay_that_cannot_listen_keeps_nobody_from_their_sessions() {
    let sandbox = Sandbox::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let failed = sandbox.ctl(["up", "--relay", &address]).ends(1);
    assert!(failed.stderr.contains("the relay does not run"), "{}", failed.stderr);
    let mut client = sandbox.client();
    client.spawn(&["sleep", "1000"]);
    let relay = client.call::<DaemonStatus>(&Empty {}).unwrap().relay.unwrap();
    assert!(relay.url.is_none() && relay.reason.contains("cannot listen"), "{relay:?}");
    sandbox.ctl(["down", "--all"]).ok();
}

#[test]
fn the_command_line_makes_backs_up_and_leaves_an_account() {
    let sandbox = Sandbox::new();
    let up = sandbox.ctl(["up", "--relay", "127.0.0.1:0", "--json"]).json();
    assert!(up["relay"]["url"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{up}");
    assert_eq!(up["paired"], false);
    let made = sandbox.ctl(["account", "create", "--json"]).json();
    assert_eq!(made["has_secret"], true, "{made}");
    assert_eq!(sandbox.ctl(["account", "show", "--json"]).json(), made);
    sandbox.ctl(["devices", "--json"]).json();
    sandbox.ctl(["account", "create"]).ends(6);
    let file = sandbox.path().join("backup.txt");
    let path = file.to_str().unwrap();
    sandbox.ctl(["account", "export", "--file", path]).ok();
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    sandbox.ctl(["account", "export", "--file", path]).ends(2);
    let unasked = sandbox.ctl(["unpair"]).ends(10);
    assert!(unasked.stderr.contains("account export"), "{}", unasked.stderr);
    sandbox.ctl(["unpair", "--yes"]).ok();
    sandbox.ctl(["account", "show"]).ends(3);
    let imported = sandbox.ctl(["account", "import", "--json"]).input(fs::read(&file).unwrap()).json();
    assert_eq!(imported["account"], made["account"]);
    sandbox.ctl(["down"]).ok();
}

#[test]
fn pair_shows_a_code_waits_and_gives_up_on_ctrl_c() {
    let (sandbox, _daemon, url) = with_relay();
    let mut child = sandbox.ctl(["pair"]).start();
    let mut shown = std::io::BufReader::new(child.stdout.take().unwrap());
    let (mut text, mut line) = (String::new(), String::new());
    while !text.contains("ctrl-c gives up") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut shown, &mut line).unwrap() > 0, "it ended: {text}");
        text += &line;
    }
    assert!(text.contains("happy://terminal?") && text.contains('█') && text.contains(&url), "{text}");
    kernel::signal(child.id(), Signal::SIGINT);
    let status = until_some("it ends", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(130));
    let offered = sandbox.ctl(["pair", "--no-wait", "--json"]).json();
    assert_eq!(offered["paired"], false);
    phone(&url).approve(offered["happy_link"].as_str().unwrap(), None).wait().unwrap();
    let mut client = sandbox.client();
    until_some("the daemon links by itself", || show(&mut client).ok());
}
