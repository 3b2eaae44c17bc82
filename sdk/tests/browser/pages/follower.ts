/** A page that only follows, through every cut: what it shows, and what came by its line. */
import { createFeed } from "../../../src/index.ts";
import { watching } from "../watching.ts";

const query = new URLSearchParams(location.search);
const userId = query.get("user") ?? "ada";
const tell = (what: object): void => told(JSON.stringify(what));

const feed = createFeed({
  url: query.get("gateway") ?? location.origin,
  userId,
  getToken: async () => (await fetch(`/token?user=${userId}`)).text(),
  environment: watching(causes),
});

/** The ids of what each push was caused by are the wire's, and no observable shows them. */
function causes({ type, offset, epoch, causedBy, recovered }: Record<string, unknown>): void {
  if (causedBy) tell({ push: type, offset, epoch, causedBy });
  else if (type === "hello" || type === "resumed")
    tell({ [type]: offset, epoch, recovered });
}

let shown = 0;
feed.interventions.subscribe((all) => tell({ intervention: all.at(-1)?.id, number: ++shown }));
feed.replies.subscribe((all) => tell({ reply: all.at(-1)?.replyId }));
feed.connection.subscribe((status) => tell({ connection: status }));
feed.problems.subscribe((all) => tell({ problem: all.at(-1) }));
tell({ ready: true });
