/** The two ways in which the first version was used: they compile against our types, and run. */
import { useEffect, useRef } from "react";
import { MLPersonalizationProvider, useMLPersonalization } from "../src/react/index.ts";

/** The page's own: what is not known is no number. */
export const percent = (share: number | undefined): string =>
  share === undefined ? "unknown" : `${Math.round(share * 100)}%`;

export function Lesson() {
  const {
    userState,
    recommendations,
    isPersonalizationActive,
    recordInteraction,
    applyRecommendation,
  } = useMLPersonalization("ada", {
    enableRealTimeAnalysis: true,
    features: {
      emotionalAnalysis: true,
      cognitiveLoadAssessment: true,
      adaptiveLearning: true,
      visualAdaptation: true,
    },
  });
  const began = useRef(performance.now());
  useEffect(() => {
    recommendations.filter((one) => one.confidence > 0.8).forEach(applyRecommendation);
  }, [recommendations, applyRecommendation]);
  return (
    <section aria-busy={!isPersonalizationActive}>
      {userState && (
        <p id="figures">
          {percent(userState.focusLevel)} {percent(userState.cognitiveLoad)}{" "}
          {percent(userState.engagementScore)}
        </p>
      )}
      <button
        id="next"
        onClick={(event) =>
          recordInteraction({
            interactionType: "click",
            elementId: event.currentTarget.id,
            timingData: { responseTime: (performance.now() - began.current) / 1000 },
          })
        }
      >
        Next
      </button>
    </section>
  );
}

export const App = () => (
  <MLPersonalizationProvider enableRealTimeAdaptation enablePrivacyMode={false}>
    <Lesson />
  </MLPersonalizationProvider>
);
