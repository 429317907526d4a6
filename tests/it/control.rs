//! Who controls a session's terminal, as the daemon tells it.

use delight_proto::holder::{Attach, ToHolder};
use delight_proto::session::Size;
use delight_tests::api::Client;
use delight_tests::attached::{controller, viewer};
use delight_tests::{Sandbox, until};

fn becomes(client: &mut Client, id: delight_proto::id::SessionId, who: Option<&str>) {
    until(&format!("the controller is {who:?}"), || client.get(id).controller.as_deref() == who);
}

/// "Somebody types into my session: who?" It is told, taken back when they leave, and known to the next daemon.
#[test]
fn the_controlling_client_is_shown_until_it_leaves_also_by_the_next_daemon() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_script("say ready; hang").id;
    assert_eq!(client.get(id).controller, None);
    let mut watching = sandbox.attach(id);
    watching.hello(viewer(Attach::Screen));
    let mut typing = sandbox.attach(id);
    typing.hello(controller(Attach::Screen, Size::default()));
    becomes(&mut client, id, Some("delight-tests"));
    daemon.kill9();
    let _daemon = sandbox.start_daemon();
    let mut client = sandbox.client();
    becomes(&mut client, id, Some("delight-tests"));
    typing.send(&ToHolder::ReleaseControl).unwrap();
    becomes(&mut client, id, None);
    watching.send(&ToHolder::TakeControl).unwrap();
    becomes(&mut client, id, Some("delight-tests"));
    let list = sandbox.ctl(["list"]).ok();
    assert!(list.stdout.contains("CTRL") && list.stdout.contains("delight-tests"), "{}", list.stdout);
    drop(watching);
    becomes(&mut client, id, None);
}
