/* Private to sentry/procfs: links in sysfs (sysfs_net.c), one table entry a file. */
#ifndef SENTRY_PROCFS_SYSFS_NET_PRIV_H
#define SENTRY_PROCFS_SYSFS_NET_PRIV_H

#include "sentry/procfs/procfs_priv.h"

#define SYSFS_NET_FILES(X)                                                                         \
	X("addr_assign_type", ADDR_ASSIGN)                                                         \
	X("addr_len", ADDR_LEN)                                                                    \
	X("address", ADDRESS)                                                                      \
	X("broadcast", BROADCAST)                                                                  \
	X("carrier", CARRIER)                                                                      \
	X("carrier_changes", ZERO)                                                                 \
	X("carrier_down_count", ZERO)                                                              \
	X("carrier_up_count", ZERO)                                                                \
	X("dev_id", HEX_ZERO)                                                                      \
	X("dev_port", ZERO)                                                                        \
	X("dormant", DORMANT)                                                                      \
	X("duplex", DUPLEX)                                                                        \
	X("flags", FLAGS)                                                                          \
	X("gro_flush_timeout", ZERO)                                                               \
	X("ifalias", ALIAS)                                                                        \
	X("ifindex", INDEX)                                                                        \
	X("iflink", LINK)                                                                          \
	X("link_mode", ZERO)                                                                       \
	X("mtu", MTU)                                                                              \
	X("napi_defer_hard_irqs", ZERO)                                                            \
	X("netdev_group", GROUP)                                                                   \
	X("operstate", OPERSTATE)                                                                  \
	X("proto_down", ZERO)                                                                      \
	X("speed", SPEED)                                                                          \
	X("statistics/collisions", ZERO)                                                           \
	X("statistics/multicast", MULTICAST)                                                       \
	X("statistics/rx_bytes", RX_BYTES)                                                         \
	X("statistics/rx_compressed", ZERO)                                                        \
	X("statistics/rx_crc_errors", ZERO)                                                        \
	X("statistics/rx_dropped", RX_DROPPED)                                                     \
	X("statistics/rx_errors", RX_ERRORS)                                                       \
	X("statistics/rx_fifo_errors", ZERO)                                                       \
	X("statistics/rx_frame_errors", ZERO)                                                      \
	X("statistics/rx_length_errors", ZERO)                                                     \
	X("statistics/rx_missed_errors", ZERO)                                                     \
	X("statistics/rx_nohandler", ZERO)                                                         \
	X("statistics/rx_over_errors", ZERO)                                                       \
	X("statistics/rx_packets", RX_PACKETS)                                                     \
	X("statistics/tx_aborted_errors", ZERO)                                                    \
	X("statistics/tx_bytes", TX_BYTES)                                                         \
	X("statistics/tx_carrier_errors", ZERO)                                                    \
	X("statistics/tx_compressed", ZERO)                                                        \
	X("statistics/tx_dropped", TX_DROPPED)                                                     \
	X("statistics/tx_errors", TX_ERRORS)                                                       \
	X("statistics/tx_fifo_errors", ZERO)                                                       \
	X("statistics/tx_heartbeat_errors", ZERO)                                                  \
	X("statistics/tx_packets", TX_PACKETS)                                                     \
	X("statistics/tx_window_errors", ZERO)                                                     \
	X("testing", TESTING)                                                                      \
	X("threaded", ZERO)                                                                        \
	X("tx_queue_len", TXQLEN)                                                                  \
	X("type", TYPE)                                                                            \
	X("uevent", UEVENT)

enum sysfs_net_file {
	SN_ZERO,
	SN_HEX_ZERO,
	SN_ADDR_ASSIGN,
	SN_ADDR_LEN,
	SN_ADDRESS,
	SN_BROADCAST,
	SN_CARRIER,
	SN_DORMANT,
	SN_TESTING,
	SN_DUPLEX,
	SN_SPEED,
	SN_FLAGS,
	SN_ALIAS,
	SN_INDEX,
	SN_LINK,
	SN_MTU,
	SN_GROUP,
	SN_OPERSTATE,
	SN_MULTICAST,
	SN_RX_BYTES,
	SN_RX_PACKETS,
	SN_RX_ERRORS,
	SN_RX_DROPPED,
	SN_TX_BYTES,
	SN_TX_PACKETS,
	SN_TX_ERRORS,
	SN_TX_DROPPED,
	SN_TXQLEN,
	SN_TYPE,
	SN_UEVENT,
};

int sysfs_show_net(struct pfs_req *rq, struct text *t); /* arg: enum sysfs_net_file */
int sysfs_link_net(struct pfs_req *rq, struct text *t);

#define SYSFS_NET_ENTRY(name, what)                                                                \
	{"devices/virtual/net/*/" name, 0444, sysfs_show_net, .arg = SN_##what},
#define SYSFS_NET                                                                                  \
	SYSFS_NET_FILES(SYSFS_NET_ENTRY){"devices/virtual/net/*/subsystem", S_IFLNK | 0777,        \
		.text = "../../../../class/net"},

#endif
