// Prints what matrix-js-sdk, on which Element is built, shows of a room to one of its members:
//     node --input-type=module - HOMESERVER USER TOKEN ROOM <element.mjs
// The modules are those of the working directory.
import { ClientEvent, SyncState, createClient } from "matrix-js-sdk";

const [baseUrl, userId, accessToken, roomId] = process.argv.slice(2);
const client = createClient({ baseUrl, userId, accessToken });

async function image(event) {
    const url = client.mxcUrlToHttp(event.getContent().url, 100, 100, "scale", false, true, true);
    const answer = await fetch(url, { headers: { Authorization: `Bearer ${accessToken}` } });
    return [answer.status, answer.headers.get("content-type")];
}

async function shown(event) {
    const actions = client.getPushActionsForEvent(event);
    const content = event.getContent(); // with the last edit
    return {
        id: event.getId(),
        content,
        redacted: event.isRedacted(),
        edited: event.replacingEvent() !== null,
        notifies: Boolean(actions?.notify),
        highlights: Boolean(actions?.tweaks?.highlight),
        image: content.msgtype === "m.image" ? await image(event) : null,
    };
}

async function messages(events) {
    const visible = events.filter(
        (event) => event.getType() === "m.room.message" && !event.isRelation("m.replace"),
    );
    return await Promise.all(visible.map(shown));
}

// Synapse caches the answers to equal syncs for two minutes
const initialSyncLimit = 100 + Math.floor(Math.random() * 1e6);
await client.startClient({ initialSyncLimit, threadSupport: true });
await new Promise((resolve, reject) => {
    client.on(ClientEvent.Sync, (state, _, data) => {
        if (state === SyncState.Prepared) resolve();
        if (state === SyncState.Error) reject(data.error);
    });
});
const room = client.getRoom(roomId);
const threads = {};
for (const thread of room.getThreads()) {
    while (!thread.initialEventsFetched) await new Promise((resolve) => setTimeout(resolve, 10));
    threads[thread.id] = await messages(thread.events.filter((event) => event.getId() !== thread.id));
}
const view = {
    timeline: await messages(room.getLiveTimeline().getEvents()),
    threads,
    unread: room.getUnreadNotificationCount("total"),
    highlights: room.getUnreadNotificationCount("highlight"),
};
// after the SDK's own log
process.stdout.write(`\n${JSON.stringify(view)}`, () => process.exit(0));
