/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * commands: what hongbaod answers on its control socket, one handler a command of lib/command.
 * Service thread only; context is the daemon's struct tuning.
 */
#ifndef HONGBAOD_COMMANDS_H
#define HONGBAOD_COMMANDS_H

#include "tuning.h"

extern const struct hb_service_command daemon_commands[];
extern const unsigned daemon_commands_count;

/* changes.c */
hb_handler on_config_check, on_config_diff, on_config_apply, on_config_reload, on_config_undo;
hb_handler on_log_level_set;
hb_handler on_campaign_add, on_campaign_pause, on_campaign_resume, on_campaign_close;
hb_handler on_campaign_top_up, on_deny_add, on_deny_remove, on_key_add, on_key_retire;

hb_handler on_lease_add;

/* leases.c */
hb_handler on_lease_list, on_lease_renew, on_lease_done, on_lease_return, on_lease_rows;

/* look.c */
hb_handler on_user, on_packet_show;

/* Ends those watchers whose client has gone; and all, before the service stops (context: the struct
 * tuning). */
void end_gone_watchers(struct tuning *t);
void end_watchers(void *context);

/* Frees what is under way of it, once no worker runs. */
void free_looks(struct tuning *t);

/* SIGHUP: reads the configuration file again. */
void reload_for_signal(struct tuning *t);

/* A number among a command's arguments, which were checked. */
uint64_t argument_number(const json_t *args, const char *name, uint64_t otherwise);

#endif
