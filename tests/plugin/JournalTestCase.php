<?php
/**
 * Base class of the plugin's tests.
 *
 * @package Flask_Woo_Events
 */

use Flask_Woo_Events\Journal;
use PHPUnit\Framework\TestCase;

/** Collects the rows that a test writes to the journal. */
abstract class JournalTestCase extends TestCase {

	const PLUGIN = 'flask-woo-events/flask-woo-events.php';

	/** The greatest row number before the test.
	 *
	 * @var int
	 */
	private $before = 0;

	/** Hooks that the tests have fired, directly or through WordPress.
	 *
	 * @var array<string, bool>
	 */
	protected static $fired = array();

	public static function setUpBeforeClass(): void {
		if ( ! has_action( 'all', array( self::class, 'fired' ) ) ) {
			add_action( 'all', array( self::class, 'fired' ) );
		}
	}

	/** Remember a hook. */
	public static function fired( $hook ): void {
		self::$fired[ (string) $hook ] = true;
	}

	protected function setUp(): void {
		wp_set_current_user( 1 );
		if ( ! is_plugin_active( self::PLUGIN ) ) {
			$this->assertNull( activate_plugin( self::PLUGIN ) );
		}
		$this->listen();
	}

	/** Collect the rows written from now on. */
	protected function listen(): void {
		Journal::forget();
		$this->before = Journal::facts()['head'];
	}

	/**
	 * Return the rows written since listen(), as "type id operation", with "<parent" if there is one.
	 *
	 * @param string[] $types Return only these types; empty for all.
	 * @return string[]
	 */
	protected function written( array $types = array() ): array {
		$rows = array();
		foreach ( Journal::after( $this->before, 1000 ) as $row ) {
			if ( ! $types || in_array( $row['object_type'], $types, true ) ) {
				$rows[] = "{$row['object_type']} {$row['object_id']} {$row['operation']}" . ( (int) $row['parent_id'] ? " <{$row['parent_id']}" : '' );
			}
		}
		return $rows;
	}

	/**
	 * Create a post.
	 *
	 * @param string $type   Type of the post.
	 * @param array  $values Other values.
	 * @return int
	 */
	protected function post( string $type = 'product', array $values = array() ): int {
		return wp_insert_post(
			$values + array(
				'post_type'   => $type,
				'post_title'  => 'A',
				'post_status' => 'publish',
			)
		);
	}

	/**
	 * Call the plugin's REST API.
	 *
	 * @param string $path   Path below the namespace.
	 * @param array  $params Parameters.
	 * @return WP_REST_Response
	 */
	protected function rest( string $path, array $params = array() ): WP_REST_Response {
		$request = new WP_REST_Request( 'GET', '/wc-flask-woo-events/v1/' . $path );
		$request->set_query_params( $params );
		return rest_do_request( $request );
	}
}
