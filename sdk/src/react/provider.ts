/** Where the gateway is, and who the learner is: for all components below. */
import {
  type FunctionComponent,
  type ReactNode,
  createContext,
  createElement,
  useInsertionEffect,
  useMemo,
  useState,
} from "react";
import type { Consent } from "../core/consent.ts";
import type { HostOptions } from "./learners.ts";

export interface MLPersonalizationProviderProps extends HostOptions {
  readonly children?: ReactNode;
  /** The learner of hooks that name none. */
  readonly userId?: string;
  /** Apply visual recommendations of high confidence without being asked; needs `adapt`. */
  readonly enableRealTimeAdaptation?: boolean;
  /** Keep nothing on disk, capture nothing; `recordInteraction` leaves element ids out. */
  readonly enablePrivacyMode?: boolean;
}

export interface Provided {
  readonly url: string;
  readonly userId: string | undefined;
  readonly consent: Consent | undefined;
  readonly automatic: boolean;
  readonly memory: boolean;
  readonly options: { current: HostOptions };
}

let host: HostOptions = {};

/** Say once, before the first render, what providers need not repeat. Their props win. */
export function configure(options: HostOptions): void {
  host = { ...options };
}

/** Without a provider nobody is followed. */
export const PersonalizationContext = createContext<Provided | undefined>(undefined);

export const MLPersonalizationProvider: FunctionComponent<MLPersonalizationProviderProps> = ({
  children,
  userId,
  enableRealTimeAdaptation = false,
  enablePrivacyMode = false,
  ...props
}) => {
  const options: HostOptions = { ...host, ...given(props) };
  const [box] = useState(() => ({ current: options }));
  // Before any effect of a component below: one of those makes the learner, with this.
  useInsertionEffect(() => {
    box.current = options;
  });
  const { consent } = options;
  const url = options.url ?? globalThis.location?.origin ?? "";
  const value = useMemo<Provided>(
    () => ({
      url,
      userId,
      consent,
      automatic: enableRealTimeAdaptation,
      memory: enablePrivacyMode,
      options: box,
    }),
    [url, userId, consent, enableRealTimeAdaptation, enablePrivacyMode, box],
  );
  return createElement(PersonalizationContext.Provider, { value }, children);
};

/** A prop that is `undefined` is one that is not given. */
function given(props: HostOptions): HostOptions {
  return Object.fromEntries(Object.entries(props).filter(([, value]) => value !== undefined));
}
