/** The second snippet: the first version's bare socket, whose batches have no id. */
import type { InteractionBatch, Recommendations, UserStateUpdate } from "../../../src/index.ts";

const tell = (what: object): void => told(JSON.stringify(what));

const token = await (await fetch("/token?user=ada")).text();
const address = `${location.origin.replace("http", "ws")}/api/v1/ml-personalization/ws/ada`;
const socket = new WebSocket(address, ["masterx.v1", `bearer.${token}`]);
socket.onopen = () => {
  const batch: InteractionBatch = {
    type: "interaction_batch",
    interactions: [
      {
        timestamp: Date.now(),
        userId: "ada",
        interactionType: "click",
        elementId: "next",
        timingData: { responseTime: 1.5 },
        viewportData: { scrollDistance: 120 },
        contextData: { tabActive: true },
      },
    ],
  };
  socket.send(JSON.stringify(batch));
};
socket.onmessage = ({ data }) => {
  const message = JSON.parse(data) as UserStateUpdate | Recommendations | { type: "ack" };
  if (message.type === "ack") tell({ acknowledged: true });
  if (message.type === "user_state_update") tell({ valence: message.userState.valence });
  if (message.type === "recommendations") tell({ number: message.recommendations.length });
};
