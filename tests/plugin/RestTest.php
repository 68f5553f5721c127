<?php
/**
 * The REST API that reads the journal.
 *
 * @package Flask_Woo_Events
 */

use Flask_Woo_Events\Installer;
use Flask_Woo_Events\Journal;

/** The REST API, its permissions, pruning, and concurrent writers. */
final class RestTest extends JournalTestCase {

	private function write( int $count, int $from = 1 ): void {
		for ( $id = $from; $id < $from + $count; $id++ ) {
			Journal::write( 'product', $id, 'update', 'test' );
		}
	}

	public function test_reading_needs_the_capability(): void {
		wp_set_current_user( 0 );
		$this->assertSame( 401, $this->rest( 'changes' )->get_status() );
		$this->assertSame( 401, $this->rest( 'status' )->get_status() );
		$customer = get_user_by( 'login', 'reader' ) ?: new WP_User( wp_insert_user( array( 'user_login' => 'reader', 'user_pass' => 'x', 'role' => 'customer' ) ) );
		wp_set_current_user( $customer->ID );
		$this->assertSame( 403, $this->rest( 'changes', array( 'after' => 0 ) )->get_status() );
		wp_set_current_user( 1 );
		$this->assertSame( 200, $this->rest( 'changes' )->get_status() );
	}

	public function test_changes_after_a_row(): void {
		$head = Journal::facts()['head'];
		$this->write( 5, 500 );
		$data = $this->rest( 'changes', array( 'after' => $head, 'limit' => 3 ) )->get_data();
		$this->assertSame( array( 500, 501, 502 ), array_column( $data['changes'], 'id' ) );
		$this->assertTrue( $data['more'] );
		$rest = $this->rest( 'changes', array( 'after' => $data['next'], 'limit' => 3 ) )->get_data();
		$this->assertSame( array( 503, 504 ), array_column( $rest['changes'], 'id' ) );
		$this->assertFalse( $rest['more'] );
		$this->assertSame( $rest['head'], $rest['next'] );
		$row = $rest['changes'][0];
		$this->assertSame( array( 'product', 0, 'update', 'test' ), array( $row['type'], $row['parent'], $row['operation'], $row['source'] ) );
		$this->assertMatchesRegularExpression( '/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/', $row['at'] );
		$this->assertSame( $data['next'], $rest['anchor']['seq'] );
	}

	public function test_the_newest_rows(): void {
		$this->write( 5, 600 );
		$data = $this->rest( 'changes', array( 'limit' => 2 ) )->get_data();
		$this->assertSame( array( 603, 604 ), array_column( $data['changes'], 'id' ) );
		$this->assertSame( $data['head'], $data['next'] );
	}

	public function test_invalid_parameters_are_refused(): void {
		foreach ( array( array( 'limit' => 0 ), array( 'limit' => 1001 ), array( 'after' => -1 ), array( 'after' => 'x' ) ) as $params ) {
			$this->assertSame( 400, $this->rest( 'changes', $params )->get_status(), (string) wp_json_encode( $params ) );
		}
	}

	public function test_pruning_keeps_the_newest_row_and_reports_the_rest(): void {
		global $wpdb;
		$this->write( 20, 700 );
		$table = Journal::table();
		$wpdb->query( "UPDATE $table SET occurred_gmt = occurred_gmt - INTERVAL 30 DAY" );
		$before = Journal::facts();
		$this->assertGreaterThan( 18, Journal::prune() );
		$facts = Journal::facts();
		$this->assertSame( $before['head'], $facts['head'] );
		$this->assertSame( array( $before['head'], $before['head'] - 1 ), array( $facts['oldest'], $facts['pruned'] ) );
		$answer = $this->rest( 'changes', array( 'after' => $before['head'] - 2 ) );
		$this->assertSame( array( 410, 'flask_woo_events_pruned' ), array( $answer->get_status(), $answer->get_data()['code'] ) );
		$this->assertSame( 200, $this->rest( 'changes', array( 'after' => $before['head'] - 1 ) )->get_status() );
		$this->assertSame( 0, Journal::prune() );
	}

	public function test_pruning_keeps_recent_rows(): void {
		$this->write( 5, 800 );
		$oldest = Journal::facts()['oldest'];
		Journal::prune();
		$this->assertGreaterThanOrEqual( 4, Journal::facts()['head'] - Journal::facts()['oldest'] );
		$this->assertLessThanOrEqual( $oldest + 1, Journal::facts()['oldest'] );
	}

	public function test_rows_above_the_limit_are_pruned(): void {
		$rows = function () {
			return 1000;
		};
		add_filter( 'flask_woo_events_retention_rows', $rows );
		$this->write( 1200, 10000 );
		Journal::prune();
		remove_filter( 'flask_woo_events_retention_rows', $rows );
		$facts = Journal::facts();
		$this->assertSame( 1000, $facts['head'] - $facts['pruned'] );
	}

	public function test_dropped_table_is_created_again_in_a_new_epoch(): void {
		global $wpdb;
		$before = Journal::facts()['epoch'];
		$table  = Journal::table();
		$wpdb->query( "DROP TABLE $table" );
		$data = $this->rest( 'changes', array( 'after' => 5 ) )->get_data();
		$this->assertNotSame( $before, $data['epoch'] );
		$wpdb->query( "DROP TABLE $table" );
		Journal::write( 'product', 1, 'update', 'test' );
		$facts = Journal::facts();
		$this->assertNotSame( $data['epoch'], $facts['epoch'] );
		$this->assertSame( 1, $facts['head'] );
	}

	public function test_a_session_in_recovery_mode_changes_the_epoch(): void {
		$before = Journal::facts()['epoch'];
		$folder = dirname( plugin_basename( FLASK_WOO_EVENTS_FILE ) );
		update_option( 'abc_paused_extensions', array( 'plugin' => array( 'another' => array( 'type' => 1 ) ) ) );
		$this->assertSame( $before, Journal::facts()['epoch'] );
		update_option( 'abc_paused_extensions', array( 'plugin' => array( $folder => array( 'type' => 1 ) ) ) );
		$this->assertNotSame( $before, Journal::facts()['epoch'] );
		delete_option( 'abc_paused_extensions' );
		$this->assertSame( $before, Journal::facts()['epoch'] );
	}

	public function test_two_writers_leave_a_gap_until_both_commit(): void {
		global $wpdb;
		$ours   = $wpdb;
		$theirs = new wpdb( DB_USER, DB_PASSWORD, DB_NAME, DB_HOST );
		$theirs->set_prefix( $ours->prefix );
		$head = Journal::facts()['head'];
		$theirs->query( 'START TRANSACTION' );
		$wpdb = $theirs;
		Journal::write( 'product', 901, 'update', 'test' );
		$wpdb = $ours;
		Journal::write( 'product', 902, 'update', 'test' );
		$data = $this->rest( 'changes', array( 'after' => $head ) )->get_data();
		$this->assertSame( array( 902 ), array_column( $data['changes'], 'id' ) );
		$this->assertSame( $head + 2, $data['changes'][0]['seq'] );
		$theirs->query( 'COMMIT' );
		$data = $this->rest( 'changes', array( 'after' => $head ) )->get_data();
		$this->assertSame( array( 901, 902 ), array_column( $data['changes'], 'id' ) );
	}

	public function test_rolled_back_row_leaves_a_gap(): void {
		global $wpdb;
		$head = Journal::facts()['head'];
		$wpdb->query( 'START TRANSACTION' );
		Journal::write( 'product', 911, 'update', 'test' );
		$wpdb->query( 'ROLLBACK' );
		Journal::write( 'product', 912, 'update', 'test' );
		$data = $this->rest( 'changes', array( 'after' => $head ) )->get_data();
		$this->assertSame( array( array( $head + 2, 912 ) ), array( array( $data['changes'][0]['seq'], $data['changes'][0]['id'] ) ) );
	}

	public function test_processes_write_concurrently(): void {
		$head  = Journal::facts()['head'];
		$types = array( 'product', 'order', 'coupon' );
		$runs  = array();
		foreach ( $types as $type ) {
			$runs[] = proc_open( array( PHP_BINARY, __DIR__ . '/writer.php', $type, '300' ), array( 1 => array( 'file', '/dev/null', 'w' ) ), $pipes );
		}
		foreach ( $runs as $run ) {
			$this->assertSame( 0, proc_close( $run ) );
		}
		$rows = Journal::after( $head, 2000 );
		foreach ( $types as $type ) {
			$ids = array_column( array_filter( $rows, fn( $row ) => $row['object_type'] === $type ), 'object_id' );
			$this->assertSame( range( 1, 300 ), array_map( 'intval', array_values( $ids ) ) );
		}
	}

	public function test_time_of_the_last_read_is_stored(): void {
		delete_option( Installer::READ_OPTION );
		$this->rest( 'changes', array( 'after' => 0, 'oauth_consumer_key' => 'ck_0123456789abcdef' ) );
		$data = $this->rest( 'status' )->get_data();
		$this->assertSame( '9abcdef', $data['last_read']['key'] );
		$this->assertLessThanOrEqual( 5, abs( time() - $data['last_read']['time'] ) );
	}
}
