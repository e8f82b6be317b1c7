//! History that isn't in the repository inside, asked of the server over https (gitprotocol-v2(5), `fetch`): commits alone,
//! and where a push needs them the trees of what branches are now. The pack goes to git outside, into an empty place of
//! aca's own that is gone afterwards.

use super::push::Reading;
use super::{Asking, Own, Sent, Service, Step, is_gits};
use crate::git::object_id::{ObjectFormat, ObjectId};
use crate::git::packet::{Packet, put};
use crate::proxy::git_push::{Loaded, Packets, Past};
use crate::proxy::git_ssh::History;
use std::time::Duration;
use tokio::time::timeout;

/// How long one pack may take.
const DEADLINE: Duration = Duration::from_secs(90);
/// The bands of gitprotocol-capabilities(5), `side-band-64k`.
const DATA: u8 = 1;
const FAILURE: u8 = 3;

/// What is asked for besides what is wanted: the first is commits, the second trees.
const COMMITS: &[&str] = &["filter tree:0\n"];
const TREES: &[&str] = &["filter blob:none\n", "deepen 1\n"];

/// What it takes to load from one repository.
pub(super) struct HttpsPast<'a> {
    pub(super) asking: &'a Asking<'a>,
    pub(super) base: &'a str,
    pub(super) history: Option<&'a History>,
}

impl Past for HttpsPast<'_> {
    async fn load(&self, format: ObjectFormat, wanted: Vec<ObjectId>, trees: bool) -> Result<Loaded, String> {
        let history = self.history.ok_or("there is no git outside that could load it")?;
        if wanted.is_empty() {
            return Err("the server has no branch to load it from".into());
        }
        let mut loaded = Loaded::default();
        for narrowed in [COMMITS, TREES].into_iter().take(if trees { 2 } else { 1 }) {
            let deadline = || format!("it took more than {} s", DEADLINE.as_secs());
            let one = self.pack(history, format, &wanted, narrowed, &mut loaded);
            let Err(why) = timeout(DEADLINE, Box::pin(one)).await.map_err(|_| deadline())? else {
                continue;
            };
            // A server that filters nothing says so by an error.
            let rest: Vec<&str> = narrowed
                .iter()
                .copied()
                .filter(|line| !line.starts_with("filter"))
                .collect();
            let one = self.pack(history, format, &wanted, &rest, &mut loaded);
            timeout(DEADLINE, Box::pin(one))
                .await
                .map_err(|_| deadline())?
                .map_err(|_| why)?;
        }
        Ok(loaded)
    }
}

impl HttpsPast<'_> {
    async fn pack(
        &self,
        history: &History,
        format: ObjectFormat,
        wanted: &[ObjectId],
        narrowed: &[&str],
        loaded: &mut Loaded,
    ) -> Result<(), String> {
        let request = question(format, wanted, narrowed)?;
        let response = self
            .asking
            .fetch(self.base, || Sent::Own(Own::whole(request.clone())))
            .await?;
        is_gits(&response, Service::UploadPack, Step::Call).map_err(|(_, why)| why)?;
        let mut packets = Packets::new(Reading::new(response.into_body(), None));
        let mut indexing = history.index(format, loaded)?;
        let mut is_pack = false;
        loop {
            let packet = packets.next().await.map_err(|error| error.to_string())?;
            match packet.ok_or("the server ended in the middle")? {
                Packet::Data(b"packfile\n") if !is_pack => is_pack = true,
                Packet::Data(data) if is_pack => match data.split_first() {
                    Some((&DATA, part)) => indexing.write(part).await?,
                    Some((&FAILURE, _)) | None => return Err("the server broke it off".into()),
                    Some(_) => {}
                },
                Packet::Data(data) if data.starts_with(b"ERR ") => return Err("the server refuses it".into()),
                Packet::Data(_) | Packet::Delimiter => {}
                Packet::Flush if is_pack => break,
                Packet::Flush | Packet::ResponseEnd => return Err("the server sent no pack".into()),
            }
        }
        indexing.finish(loaded).await
    }
}

fn question(format: ObjectFormat, wanted: &[ObjectId], narrowed: &[&str]) -> Result<Vec<u8>, String> {
    let mut lines = vec!["no-progress\n".to_owned(), "ofs-delta\n".to_owned()];
    lines.extend(wanted.iter().map(|id| format!("want {id}\n")));
    lines.extend(narrowed.iter().map(|line| (*line).to_owned()));
    lines.push("done\n".to_owned());
    let format = format!("object-format={}\n", format.word());
    let first = ["command=fetch\n", &format].map(|line| Packet::Data(line.as_bytes()));
    let rest = lines.iter().map(|line| Packet::Data(line.as_bytes()));
    let all = first
        .into_iter()
        .chain([Packet::Delimiter])
        .chain(rest)
        .chain([Packet::Flush]);
    let mut out = Vec::new();
    for packet in all {
        put(&mut out, packet).map_err(|error| error.to_string())?;
    }
    Ok(out)
}
