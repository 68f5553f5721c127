<?php
/**
 * The installer: creates, upgrades and removes the table and options of the plugin.
 *
 * @package Flask_Woo_Events
 */

namespace Flask_Woo_Events;

defined( 'ABSPATH' ) || exit;

/**
 * Creates, upgrades and removes the plugin's data in the database of a site.
 */
class Installer {

	const VERSION_OPTION = 'flask_woo_events_version';
	const EPOCH_OPTION   = 'flask_woo_events_epoch';
	const SINCE_OPTION   = 'flask_woo_events_since';
	const PRUNED_OPTION  = 'flask_woo_events_pruned';
	const COPIES_OPTION  = 'flask_woo_events_copies';
	const READ_OPTION    = 'flask_woo_events_last_read';
	const ADDRESS_OPTION = 'flask_woo_events_address';

	/** The scheduled action that prunes the journal. */
	const PRUNE_ACTION = 'flask_woo_events_prune';
	const GROUP        = 'flask-woo-events';

	/** Maximum number of copies of the plugin, on several web servers, that are remembered. */
	const COPIES = 100;

	/** Sites of a network that are read in one query. */
	const SITES_AT_ONCE = 100;

	/**
	 * Install the plugin on the site, or on all sites if it is activated for the network.
	 *
	 * @param bool $network_wide Whether it is activated for the whole network.
	 */
	public static function activate( $network_wide = false ) {
		self::on_sites( $network_wide, array( __CLASS__, 'install' ) );
	}

	/**
	 * Unschedule the pruning. The journal and the settings are kept for the next activation.
	 *
	 * @param bool $network_wide Whether it is deactivated for the whole network.
	 */
	public static function deactivate( $network_wide = false ) {
		self::on_sites( $network_wide, array( __CLASS__, 'unschedule' ) );
	}

	/**
	 * Create or upgrade the table, and begin a new epoch, because the journal was not written until now.
	 */
	public static function install() {
		self::make_table();
		self::begin_epoch();
		update_option( self::VERSION_OPTION, FLASK_WOO_EVENTS_VERSION );
		self::remember_copy();
	}

	/**
	 * Upgrade after an update of the files, which runs no activation, and detect that the files were away.
	 *
	 * Changes made while the plugin was away are not in the journal. When the epoch changes, the
	 * reader compares the whole store again.
	 */
	public static function check() {
		if ( FLASK_WOO_EVENTS_VERSION !== get_option( self::VERSION_OPTION ) || ! get_option( self::EPOCH_OPTION ) ) {
			self::install();
			return;
		}
		if ( ! in_array( self::fingerprint(), self::copies(), true ) ) {
			self::begin_epoch();
			self::remember_copy();
		}
	}

	/**
	 * Create the table, or upgrade it.
	 */
	public static function make_table() {
		global $wpdb;
		require_once ABSPATH . 'wp-admin/includes/upgrade.php';
		$table   = Journal::table();
		$collate = $wpdb->get_charset_collate();
		// dbDelta requires one column per line, and two spaces after PRIMARY KEY.
		dbDelta(
			"CREATE TABLE {$table} (
			seq bigint(20) unsigned NOT NULL AUTO_INCREMENT,
			object_type varchar(32) NOT NULL,
			object_id bigint(20) unsigned NOT NULL,
			parent_id bigint(20) unsigned NOT NULL DEFAULT 0,
			operation varchar(16) NOT NULL,
			occurred_gmt datetime(6) NOT NULL,
			source varchar(64) NOT NULL DEFAULT '',
			PRIMARY KEY  (seq),
			KEY occurred_gmt (occurred_gmt)
			) {$collate};"
		);
	}

	/**
	 * Begin a new epoch: the journal may lack changes since it was last read.
	 */
	public static function begin_epoch() {
		global $wpdb;
		update_option( self::EPOCH_OPTION, wp_generate_password( 20, false ) );
		update_option( self::SINCE_OPTION, (string) $wpdb->get_var( 'SELECT UTC_TIMESTAMP(6)' ), false ); // phpcs:ignore WordPress.DB.DirectDatabaseQuery
	}

	/**
	 * Store the fingerprint of this copy of the plugin.
	 */
	private static function remember_copy() {
		$copies   = array_diff( self::copies(), array( self::fingerprint() ) );
		$copies[] = self::fingerprint();
		update_option( self::COPIES_OPTION, array_slice( $copies, -self::COPIES ) );
	}

	/**
	 * Return the fingerprints of the copies that wrote in this epoch.
	 *
	 * @return string[]
	 */
	private static function copies() {
		$copies = get_option( self::COPIES_OPTION );
		return is_array( $copies ) ? $copies : array();
	}

	/**
	 * Return a value that changes when the plugin's folder is moved away and back, or copied again.
	 *
	 * @return string
	 */
	private static function fingerprint() {
		$parts = array();
		// WordPress may reach the folder through a symbolic link.
		$named = WP_PLUGIN_DIR . '/' . dirname( plugin_basename( FLASK_WOO_EVENTS_FILE ) );
		foreach ( array( __DIR__, dirname( FLASK_WOO_EVENTS_FILE ), FLASK_WOO_EVENTS_FILE, $named ) as $path ) {
			$found   = @lstat( $path ); // phpcs:ignore WordPress.PHP.NoSilencedErrors -- Some hosts disable it.
			$parts[] = $found ? $found['ino'] . '.' . $found['ctime'] : '';
		}
		return md5( implode( ' ', $parts ) );
	}

	/**
	 * Schedule the pruning of the journal, twice a day.
	 */
	public static function schedule() {
		if ( function_exists( 'as_next_scheduled_action' ) && ! as_next_scheduled_action( self::PRUNE_ACTION, array(), self::GROUP ) ) {
			as_schedule_recurring_action( time() + HOUR_IN_SECONDS, 12 * HOUR_IN_SECONDS, self::PRUNE_ACTION, array(), self::GROUP );
		}
	}

	/**
	 * Unschedule the pruning.
	 */
	public static function unschedule() {
		if ( function_exists( 'as_unschedule_all_actions' ) ) {
			as_unschedule_all_actions( self::PRUNE_ACTION, array(), self::GROUP );
		}
	}

	/**
	 * Remove all data of the plugin, from all sites of a network.
	 */
	public static function uninstall() {
		self::on_sites( is_multisite(), array( __CLASS__, 'remove' ) );
	}

	/**
	 * Remove the data of the plugin from one site.
	 */
	public static function remove() {
		global $wpdb;
		self::unschedule();
		$table = Journal::table();
		$wpdb->query( "DROP TABLE IF EXISTS {$table}" ); // phpcs:ignore WordPress.DB
		foreach ( self::options() as $option ) {
			delete_option( $option );
		}
		// Action Scheduler keeps completed actions for a month. Remove the plugin's own.
		$actions = $wpdb->prefix . 'actionscheduler_actions';
		if ( $wpdb->get_var( $wpdb->prepare( 'SHOW TABLES LIKE %s', $wpdb->esc_like( $actions ) ) ) === $actions ) { // phpcs:ignore WordPress.DB
			$logs = $wpdb->prefix . 'actionscheduler_logs';
			$wpdb->query( $wpdb->prepare( "DELETE l FROM {$logs} l JOIN {$actions} a ON a.action_id = l.action_id WHERE a.hook = %s", self::PRUNE_ACTION ) ); // phpcs:ignore WordPress.DB
			$wpdb->query( $wpdb->prepare( "DELETE FROM {$actions} WHERE hook = %s", self::PRUNE_ACTION ) ); // phpcs:ignore WordPress.DB
			$wpdb->query( $wpdb->prepare( "DELETE FROM {$wpdb->prefix}actionscheduler_groups WHERE slug = %s", self::GROUP ) ); // phpcs:ignore WordPress.DB
		}
	}

	/**
	 * Return the names of all options of the plugin.
	 *
	 * @return string[]
	 */
	public static function options() {
		return array(
			self::VERSION_OPTION,
			self::EPOCH_OPTION,
			self::SINCE_OPTION,
			self::PRUNED_OPTION,
			self::COPIES_OPTION,
			self::READ_OPTION,
			self::ADDRESS_OPTION,
			'woocommerce_flask_woo_events_settings',
		);
	}

	/**
	 * Add the journal's table to the tables that are dropped with a site.
	 *
	 * @param string[] $tables Tables to drop.
	 * @return string[]
	 */
	public static function drop_with_site( $tables ) {
		$tables[] = Journal::table();
		return $tables;
	}

	/**
	 * Call a function on this site, or on every site of the network.
	 *
	 * @param bool     $everywhere Whether to call it on every site.
	 * @param callable $what       The function.
	 */
	private static function on_sites( $everywhere, $what ) {
		if ( ! $everywhere || ! is_multisite() ) {
			call_user_func( $what );
			return;
		}
		$offset = 0;
		do {
			$sites = get_sites(
				array(
					'fields' => 'ids',
					'number' => self::SITES_AT_ONCE,
					'offset' => $offset,
				)
			);
			foreach ( $sites as $site ) {
				switch_to_blog( $site );
				call_user_func( $what );
				restore_current_blog();
			}
			$offset += self::SITES_AT_ONCE;
			$found   = count( $sites );
		} while ( self::SITES_AT_ONCE === $found );
	}
}
