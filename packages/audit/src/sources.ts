// The documents that several checks cite.

export const TOLOKA_AUTHENTICATION = 'Toloka\'s documentation, "Event authentication"';
export const TOLOKA_NOTIFICATIONS = "Toloka's documentation of webhook notifications";
export const TOLOKA_OUTPUT_VALUES =
  "Toloka's API reference: output_values may total 4,194,304 bytes in one request";
export const PROLIFIC_VERIFYING = 'Prolific\'s API reference, "Verifying"';
export const PROLIFIC_WEBHOOKS = 'Prolific\'s API reference, "Webhooks"';
export const STANDARD_WEBHOOKS = 'The specification of Standard Webhooks, "Signature scheme"';
export const CVAT_WEBHOOKS = 'CVAT\'s documentation, "Webhooks"';

export const SIGNATURES = `${TOLOKA_AUTHENTICATION}; ${PROLIFIC_VERIFYING}; ${STANDARD_WEBHOOKS}; ${CVAT_WEBHOOKS}`;
export const EVENT_FIELDS = `${TOLOKA_NOTIFICATIONS}; ${PROLIFIC_WEBHOOKS}; ${CVAT_WEBHOOKS}`;
export const REDELIVERY =
  'Prolific\'s API reference, "Idempotency and the X-Event-ID Header"; Toloka gives each event a uuid and does not promise to deliver it only once';
