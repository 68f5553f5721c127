<?php
/**
 * The plugin from its first activation to its removal.
 *
 * @package Flask_Woo_Events
 */

use Flask_Woo_Events\Connection;
use Flask_Woo_Events\Installer;
use Flask_Woo_Events\Integration;
use Flask_Woo_Events\Journal;
use Flask_Woo_Events\Plugin;

/** Activation, upgrade, deactivation, settings and uninstalling. */
final class LifecycleTest extends JournalTestCase {

	public function test_activation_creates_the_table(): void {
		$this->assertTrue( Journal::exists() );
		$this->assertSame( FLASK_WOO_EVENTS_VERSION, get_option( Installer::VERSION_OPTION ) );
		$this->assertNotSame( '', Journal::facts()['epoch'] );
	}

	public function test_upgrade_needs_no_activation(): void {
		global $wpdb;
		$table = Journal::table();
		$wpdb->query( "ALTER TABLE $table DROP COLUMN source" );
		update_option( Installer::VERSION_OPTION, '0.9' );
		Installer::check();
		$this->assertContains( 'source', $wpdb->get_col( "DESCRIBE $table" ) );
		$this->assertSame( FLASK_WOO_EVENTS_VERSION, get_option( Installer::VERSION_OPTION ) );
	}

	public function test_check_without_changes_keeps_the_epoch(): void {
		$epoch = Journal::facts()['epoch'];
		Installer::check();
		$this->assertSame( $epoch, Journal::facts()['epoch'] );
	}

	public function test_moved_files_begin_a_new_epoch(): void {
		$epoch = Journal::facts()['epoch'];
		$path  = dirname( FLASK_WOO_EVENTS_FILE );
		rename( $path, $path . '.away' );
		rename( $path . '.away', $path );
		clearstatcache();
		Installer::check();
		$this->assertNotSame( $epoch, Journal::facts()['epoch'] );
		$epoch = Journal::facts()['epoch'];
		Installer::check();
		$this->assertSame( $epoch, Journal::facts()['epoch'] );
	}

	public function test_deactivation_unschedules_and_keeps_the_journal(): void {
		Installer::schedule();
		$this->assertNotFalse( as_next_scheduled_action( Installer::PRUNE_ACTION ) );
		Journal::write( 'product', 1, 'update', 'test' );
		$facts = Journal::facts();
		deactivate_plugins( self::PLUGIN );
		$this->assertFalse( as_next_scheduled_action( Installer::PRUNE_ACTION ) );
		$this->assertSame( $facts['head'], Journal::facts()['head'] );
		$this->assertNull( activate_plugin( self::PLUGIN ) );
		$this->assertNotSame( $facts['epoch'], Journal::facts()['epoch'] );
	}

	private function page(): string {
		require_once dirname( FLASK_WOO_EVENTS_FILE ) . '/includes/class-integration.php';
		ob_start();
		( new Integration() )->admin_options();
		return (string) ob_get_clean();
	}

	private function enter( string $address ): void {
		require_once dirname( FLASK_WOO_EVENTS_FILE ) . '/includes/class-integration.php';
		$_POST = array( 'woocommerce_flask_woo_events_address' => addslashes( $address ) );
		( new Integration() )->process_admin_options();
		$_POST = array();
	}

	public function test_settings_page_is_registered(): void {
		$this->assertSame( array( 'Flask_Woo_Events\Integration' ), Plugin::add_integration( array() ) );
		$this->assertStringContainsString( 'section=flask_woo_events', Plugin::add_link( array() )[0] );
	}

	public function test_the_address_is_shown_without_its_secret(): void {
		$this->enter( 'https://events.test/api/connect?invitation=s3cr3t' );
		$page = $this->page();
		$this->assertStringContainsString( 'https://events.test/api/connect', $page );
		$this->assertStringNotContainsString( 's3cr3t', $page );
		$this->assertStringContainsString( 'flask-woo-events-connect', $page );
	}

	public function test_address_without_https_is_refused(): void {
		$this->enter( 'https://events.test/connect' );
		WC_Admin_Settings::$errors = array();
		$this->enter( 'http://events.test/connect' );
		$this->assertCount( 1, WC_Admin_Settings::$errors );
		$this->assertSame( 'https://events.test/connect', Connection::address() );
	}

	public function test_external_data_is_escaped(): void {
		global $wpdb;
		$wpdb->insert( $wpdb->prefix . 'wc_webhooks', array( 'name' => 'flask_woo_events 1', 'topic' => '<script>alert(1)</script>', 'status' => 'disabled', 'failure_count' => 6 ) );
		update_option( Installer::READ_OPTION, array( 'time' => time(), 'key' => '<b>x</b>', 'user' => 1 ) );
		$page = $this->page();
		$this->assertStringNotContainsString( '<script>', $page );
		$this->assertStringNotContainsString( '<b>x', $page );
		$this->assertStringContainsString( '&lt;script&gt;', $page );
	}

	public function test_disconnecting_removes_only_keys_and_webhooks_of_the_application(): void {
		global $wpdb;
		$keys = $wpdb->prefix . 'woocommerce_api_keys';
		$wpdb->insert( $keys, array( 'description' => 'Flask Woo Events - API (2026-11-24 10:00:00)', 'permissions' => 'read_write', 'truncated_key' => 'aaaaaaa' ) );
		$wpdb->insert( $keys, array( 'description' => 'Another', 'permissions' => 'read', 'truncated_key' => 'bbbbbbb' ) );
		$wpdb->insert( $wpdb->prefix . 'wc_webhooks', array( 'name' => 'Another', 'topic' => 'order.created', 'status' => 'active' ) );
		$this->assertSame( 1, Connection::revoke_keys() );
		$this->assertSame( 1, Connection::remove_webhooks() );
		$this->assertSame( array( 'Another' ), $wpdb->get_col( "SELECT description FROM $keys" ) );
		$this->assertSame( array( 'Another' ), $wpdb->get_col( "SELECT name FROM {$wpdb->prefix}wc_webhooks" ) );
	}

	/** Actions of the buttons. */
	public function buttons(): array {
		return array( array( 'flask_woo_events_connect' ), array( 'flask_woo_events_disconnect' ) );
	}

	/**
	 * @dataProvider buttons
	 */
	public function test_buttons_need_capability_and_nonce( string $action ): void {
		$died = array();
		$die  = function () use ( &$died ) {
			return function ( $message, $title, $args ) use ( &$died ) {
				$died[] = $args['response'] ?? 500;
				throw new RuntimeException( 'died' );
			};
		};
		add_filter( 'wp_die_handler', $die );
		foreach ( array( 1, 0 ) as $user ) {
			wp_set_current_user( $user );
			try {
				do_action( 'admin_post_' . $action );
			} catch ( RuntimeException $exception ) {
				continue;
			}
		}
		remove_filter( 'wp_die_handler', $die );
		$this->assertSame( array( 403, 403 ), $died );
	}

	/** Runs last: uninstalling removes everything. */
	public function test_zzz_uninstalling_removes_everything(): void {
		global $wpdb;
		$actions = $wpdb->prefix . 'actionscheduler_actions';
		$this->enter( 'https://events.test/connect' );
		$wpdb->insert( $actions, array( 'hook' => Installer::PRUNE_ACTION ) );
		$wpdb->insert( $wpdb->prefix . 'actionscheduler_logs', array( 'action_id' => $wpdb->insert_id ) );
		$wpdb->insert( $wpdb->prefix . 'actionscheduler_groups', array( 'slug' => Installer::GROUP ) );
		$wpdb->insert( $actions, array( 'hook' => 'another' ) );
		Journal::prune();
		$this->rest( 'changes' );
		deactivate_plugins( self::PLUGIN );
		uninstall_plugin( self::PLUGIN );
		$this->assertFalse( Journal::exists() );
		$left = $wpdb->get_col( "SELECT option_name FROM {$wpdb->options} WHERE option_name LIKE '%flask%' AND option_name NOT LIKE '%transient%'" );
		$this->assertSame( array(), $left );
		$this->assertSame( array( 'another' ), $wpdb->get_col( "SELECT hook FROM $actions" ) );
		$this->assertSame( '0', $wpdb->get_var( "SELECT COUNT(*) FROM {$wpdb->prefix}actionscheduler_logs" ) );
		$this->assertSame( '0', $wpdb->get_var( "SELECT COUNT(*) FROM {$wpdb->prefix}actionscheduler_groups" ) );
	}
}
