/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdbool.h>

#include <event2/buffer.h>

#include "facts_gather.h"
#include "report.h"
#include "status_view.h"

struct page {
	struct evbuffer *out;
	bool no_memory;
};

static void write_piece(void *arg, const char *text, size_t len)
{
	struct page *page = arg;

	if (evbuffer_add(page->out, text, len) < 0)
		page->no_memory = true;
}

int status_json(const struct status_view *view, struct evbuffer *out)
{
	struct page page = {.out = out};
	struct facts facts;

	if (facts_gather(view->control, &facts) < 0)
		page.no_memory = true;
	else
		report_peers_json(&facts, &(struct report_out){write_piece, &page});
	facts_clear(&facts);
	return page.no_memory ? -1 : 0;
}
