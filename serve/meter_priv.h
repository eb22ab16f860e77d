/* serve/meter_priv.h - the families of metrics; private to the files of the meter. */
#ifndef SERVE_METER_PRIV_H
#define SERVE_METER_PRIV_H
#include "serve/meter.h"
#include "serve/series.h"

enum {
    METER_HTTP,
    METER_HTTP_TIME,
    METER_PROMPT,
    METER_NEW,
    METER_ASKED,
    METER_HELD,
    METER_DONE,
    METER_FIRST,
    METER_GAP,
    METER_TOTAL,
    METER_QUEUE,
    METER_PREFILL,
    METER_DECODE,
    METER_PROMPT_SIZE,
    METER_NEW_SIZE,
    METER_DECIDED,
    METER_CONFIDENCE,
    METER_FAMILIES
};

struct meter {
    bool vllm_names;
    double started; /* Unix seconds */
    series_table tables[METER_FAMILIES];
};
#endif
