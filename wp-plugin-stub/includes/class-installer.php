<?php
/**
 * The installer: the journal's table and options, made, upgraded and removed.
 *
 * @package Flask_Woo_Events
 */

namespace Flask_Woo_Events;

defined( 'ABSPATH' ) || exit;

/**
 * Makes, upgrades and removes what the plugin keeps in the database of a site.
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

	/** Copies of the plugin, on several web servers, that are remembered. */
	const COPIES = 100;

	/** Sites of a network that are looked at together. */
	const SITES_AT_ONCE = 100;

	/**
	 * Prepare the site, or all sites when the network activates the plugin.
	 *
	 * @param bool $network_wide Whether the whole network activates it.
	 */
	public static function activate( $network_wide = false ) {
		self::on_sites( $network_wide, array( __CLASS__, 'install' ) );
	}

	/**
	 * Stop what is scheduled; the journal and the settings stay for the next activation.
	 *
	 * @param bool $network_wide Whether the whole network deactivates it.
	 */
	public static function deactivate( $network_wide = false ) {
		self::on_sites( $network_wide, array( __CLASS__, 'unschedule' ) );
	}

	/**
	 * Make or upgrade the table, and begin a new epoch: nobody wrote the journal until now.
	 */
	public static function install() {
		self::make_table();
		self::begin_epoch();
		update_option( self::VERSION_OPTION, FLASK_WOO_EVENTS_VERSION );
		self::remember_copy();
	}

	/**
	 * Upgrade after an update of the files, which runs no activation; notice that the files were away.
	 *
	 * Changes made while the plugin was not there are in no journal. An epoch says so to its reader,
	 * which then looks at the whole store again.
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
	 * Make the table, or bring it up to date.
	 */
	public static function make_table() {
		global $wpdb;
		require_once ABSPATH . 'wp-admin/includes/upgrade.php';
		$table   = Journal::table();
		$collate = $wpdb->get_charset_collate();
		// As dbDelta wants it: a column a line, two blanks after PRIMARY KEY.
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
	 * Begin another epoch: what was read of the journal before says nothing of what is missing in it.
	 */
	public static function begin_epoch() {
		global $wpdb;
		update_option( self::EPOCH_OPTION, wp_generate_password( 20, false ) );
		update_option( self::SINCE_OPTION, (string) $wpdb->get_var( 'SELECT UTC_TIMESTAMP(6)' ), false ); // phpcs:ignore WordPress.DB.DirectDatabaseQuery
	}

	/**
	 * Remember this copy of the plugin.
	 */
	private static function remember_copy() {
		$copies   = array_diff( self::copies(), array( self::fingerprint() ) );
		$copies[] = self::fingerprint();
		update_option( self::COPIES_OPTION, array_slice( $copies, -self::COPIES ) );
	}

	/**
	 * Copies of the plugin that wrote in this epoch.
	 *
	 * @return string[]
	 */
	private static function copies() {
		$copies = get_option( self::COPIES_OPTION );
		return is_array( $copies ) ? $copies : array();
	}

	/**
	 * What changes when the plugin's folder is moved away and back, or copied anew.
	 *
	 * @return string
	 */
	private static function fingerprint() {
		$parts = array();
		// The folder as WordPress knows it may be a link.
		$named = WP_PLUGIN_DIR . '/' . dirname( plugin_basename( FLASK_WOO_EVENTS_FILE ) );
		foreach ( array( __DIR__, dirname( FLASK_WOO_EVENTS_FILE ), FLASK_WOO_EVENTS_FILE, $named ) as $path ) {
			$found   = @lstat( $path ); // phpcs:ignore WordPress.PHP.NoSilencedErrors -- Some hosts forbid it.
			$parts[] = $found ? $found['ino'] . '.' . $found['ctime'] : '';
		}
		return md5( implode( ' ', $parts ) );
	}

	/**
	 * Have the journal pruned twice a day.
	 */
	public static function schedule() {
		if ( function_exists( 'as_next_scheduled_action' ) && ! as_next_scheduled_action( self::PRUNE_ACTION, array(), self::GROUP ) ) {
			as_schedule_recurring_action( time() + HOUR_IN_SECONDS, 12 * HOUR_IN_SECONDS, self::PRUNE_ACTION, array(), self::GROUP );
		}
	}

	/**
	 * Stop the pruning.
	 */
	public static function unschedule() {
		if ( function_exists( 'as_unschedule_all_actions' ) ) {
			as_unschedule_all_actions( self::PRUNE_ACTION, array(), self::GROUP );
		}
	}

	/**
	 * Remove all that the plugin keeps; for uninstalling.
	 */
	public static function uninstall() {
		self::on_sites( is_multisite(), array( __CLASS__, 'remove' ) );
	}

	/**
	 * Remove what the plugin keeps in one site.
	 */
	public static function remove() {
		global $wpdb;
		self::unschedule();
		$table = Journal::table();
		$wpdb->query( "DROP TABLE IF EXISTS {$table}" ); // phpcs:ignore WordPress.DB
		foreach ( self::options() as $option ) {
			delete_option( $option );
		}
		// Actions that have run are kept as records for a month; uninstalling leaves none of ours.
		$actions = $wpdb->prefix . 'actionscheduler_actions';
		if ( $wpdb->get_var( $wpdb->prepare( 'SHOW TABLES LIKE %s', $wpdb->esc_like( $actions ) ) ) === $actions ) { // phpcs:ignore WordPress.DB
			$logs = $wpdb->prefix . 'actionscheduler_logs';
			$wpdb->query( $wpdb->prepare( "DELETE l FROM {$logs} l JOIN {$actions} a ON a.action_id = l.action_id WHERE a.hook = %s", self::PRUNE_ACTION ) ); // phpcs:ignore WordPress.DB
			$wpdb->query( $wpdb->prepare( "DELETE FROM {$actions} WHERE hook = %s", self::PRUNE_ACTION ) ); // phpcs:ignore WordPress.DB
			$wpdb->query( $wpdb->prepare( "DELETE FROM {$wpdb->prefix}actionscheduler_groups WHERE slug = %s", self::GROUP ) ); // phpcs:ignore WordPress.DB
		}
	}

	/**
	 * Names of all options of the plugin.
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
	 * The table of a site that is deleted goes with it.
	 *
	 * @param string[] $tables Tables that are dropped.
	 * @return string[]
	 */
	public static function drop_with_site( $tables ) {
		$tables[] = Journal::table();
		return $tables;
	}

	/**
	 * Do something on this site, or on every site of the network.
	 *
	 * @param bool     $everywhere On every site.
	 * @param callable $what       What to do.
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
