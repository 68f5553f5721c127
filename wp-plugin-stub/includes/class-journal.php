<?php
/**
 * The journal: one row for each change and request, written when it happens.
 *
 * @package Flask_Woo_Events
 */

namespace Flask_Woo_Events;

defined( 'ABSPATH' ) || exit;

/**
 * Writes, reads and prunes the journal of the current site.
 */
class Journal {

	/**
	 * Seconds in which a second touch of an object in one request is not written again.
	 *
	 * The reader looks at an object once more when it came within ten seconds of the row, so that
	 * nothing that happens meanwhile is missed.
	 */
	const TOGETHER = 5;

	/** Days that rows are kept. */
	const DAYS = 14;

	/** Rows that are kept at most. */
	const ROWS = 1000000;

	/** Objects that one act changes and that are told one by one; more are told as any. */
	const ONE_BY_ONE = 500;

	/** Rows deleted in one statement, so that nobody waits for a lock. */
	const AT_ONCE = 5000;

	/**
	 * The last row of each object that this request wrote: when in seconds, its number, its operation.
	 *
	 * @var array<string, array{0: float, 1: int, 2: string}>
	 */
	private static $written = array();

	/**
	 * Objects that are being deleted: what happens to their parts is told by the deletion.
	 *
	 * @var array<string, bool>
	 */
	private static $dying = array();

	/**
	 * The journal's table in the current site.
	 *
	 * @return string
	 */
	public static function table() {
		global $wpdb;
		return $wpdb->prefix . 'flask_woo_events_journal';
	}

	/**
	 * Write that something happened to an object.
	 *
	 * Creating an object or moving it to the trash comes with many updates: they are one row.
	 *
	 * @param string $type      What it is: order, refund, product, variation, coupon, customer, ...
	 * @param int    $id        Its id; 0 when any object of the type may have changed.
	 * @param string $operation create, update, role, trash, restore or delete.
	 * @param string $source    The hook that told.
	 * @param int    $parent_id The product or order that it belongs to.
	 */
	public static function write( $type, $id, $operation, $source, $parent_id = 0 ) {
		$object = get_current_blog_id() . '/' . $type . '/' . (int) $id;
		if ( 'delete' === $operation ) {
			unset( self::$dying[ $object ] );
		} elseif ( isset( self::$dying[ $object ] ) ) {
			return;
		}
		$now = hrtime( true ) / 1e9;
		list( $when, $seq, $before ) = self::$written[ $object ] ?? array( 0.0, 0, '' );
		$values = array( $type, (int) $id, (int) $parent_id, $operation, substr( $source, 0, 64 ) );
		if ( $now - $when < self::TOGETHER && $seq ) {
			if ( $operation === $before || self::is_update( $operation ) ) {
				return;
			}
			if ( self::is_update( $before ) && self::query( 'UPDATE %t SET operation = %s, source = %s WHERE seq = %d', array( $operation, $values[4], $seq ) ) ) {
				self::$written[ $object ] = array( $when, $seq, $operation );
				return;
			}
		}
		$seq = self::query( 'INSERT INTO %t (object_type, object_id, parent_id, operation, source, occurred_gmt) VALUES (%s, %d, %d, %s, %s, UTC_TIMESTAMP(6))', $values );
		if ( count( self::$written ) > 10000 ) {
			self::$written = array(); // An import of a whole catalogue must not fill the memory.
		}
		self::$written[ $object ] = array( $now, $seq, $operation );
	}

	/**
	 * Whether this request made an object a moment ago.
	 *
	 * @param string $type What it is.
	 * @param int    $id   Its id.
	 * @return bool
	 */
	public static function is_new( $type, $id ) {
		list( $when, , $operation ) = self::$written[ get_current_blog_id() . '/' . $type . '/' . (int) $id ] ?? array( 0.0, 0, '' );
		return 'create' === $operation && hrtime( true ) / 1e9 - $when < self::TOGETHER;
	}

	/**
	 * Whether an operation says nothing besides another one of the same object.
	 *
	 * @param string $operation The operation.
	 * @return bool
	 */
	private static function is_update( $operation ) {
		return 'update' === $operation || 'role' === $operation;
	}

	/**
	 * Note that an object is about to be deleted.
	 *
	 * @param string $type What it is.
	 * @param int    $id   Its id.
	 */
	public static function dying( $type, $id ) {
		self::$dying[ get_current_blog_id() . '/' . $type . '/' . (int) $id ] = true;
	}

	/**
	 * To which objects meta belongs.
	 *
	 * @param string $type     Type of the objects, for WordPress: post or user.
	 * @param int[]  $meta_ids Ids of the meta.
	 * @return int[]|null Null when they are too many.
	 */
	public static function owners( $type, array $meta_ids ) {
		global $wpdb;
		if ( count( $meta_ids ) > self::ONE_BY_ONE ) {
			return null;
		}
		$column = 'user' === $type ? 'umeta_id' : 'meta_id';
		$ids    = implode( ', ', array_map( 'intval', $meta_ids ) );
		return $ids ? array_map( 'intval', (array) $wpdb->get_col( "SELECT DISTINCT {$type}_id FROM {$wpdb->{$type . 'meta'}} WHERE {$column} IN ({$ids})" ) ) : array(); // phpcs:ignore WordPress.DB
	}

	/**
	 * Forget what this request wrote; a long-lived process may be many requests.
	 */
	public static function forget() {
		self::$written = array();
		self::$dying   = array();
	}

	/**
	 * Write to the table, in whatever transaction the change is.
	 *
	 * @param string $statement The statement, with %t for the table.
	 * @param array  $values    Values for it.
	 * @return int The row's number, or of an update the rows it found; 0 when it failed.
	 */
	private static function query( $statement, $values ) {
		global $wpdb;
		// Whoever fired the hook may still want the results of their own query.
		$names = array( 'insert_id', 'rows_affected', 'num_rows', 'last_error', 'last_query', 'last_result' );
		$kept  = array();
		foreach ( $names as $name ) {
			$kept[ $name ] = $wpdb->$name;
		}
		$statement  = $wpdb->prepare( str_replace( '%t', self::table(), $statement ), $values ); // phpcs:ignore WordPress.DB.PreparedSQL
		$suppressed = $wpdb->suppress_errors( true );
		$done       = $wpdb->query( $statement ); // phpcs:ignore WordPress.DB
		if ( false === $done ) {
			// Perhaps somebody dropped the table. Whatever it was, the reader must not trust the gap.
			if ( ! self::exists() ) {
				Installer::make_table();
			}
			Installer::begin_epoch();
			$done = $wpdb->query( $statement ); // phpcs:ignore WordPress.DB
		}
		$number = 0 === strpos( $statement, 'INSERT' ) && $done ? (int) $wpdb->insert_id : (int) $done;
		$wpdb->suppress_errors( $suppressed );
		foreach ( $kept as $name => $value ) {
			$wpdb->$name = $value;
		}
		return $number;
	}

	/**
	 * Whether the table is there.
	 *
	 * @return bool
	 */
	public static function exists() {
		global $wpdb;
		$table = self::table();
		return $wpdb->get_var( $wpdb->prepare( 'SHOW TABLES LIKE %s', $wpdb->esc_like( $table ) ) ) === $table; // phpcs:ignore WordPress.DB
	}

	/**
	 * Rows after one, the oldest first.
	 *
	 * @param int $after The greatest number that is not wanted.
	 * @param int $limit Rows at most.
	 * @return array[]
	 */
	public static function after( $after, $limit ) {
		global $wpdb;
		$table = self::table();
		return (array) $wpdb->get_results( // phpcs:ignore WordPress.DB
			$wpdb->prepare( "SELECT * FROM {$table} WHERE seq > %d ORDER BY seq LIMIT %d", $after, $limit ), // phpcs:ignore WordPress.DB.PreparedSQL
			ARRAY_A
		);
	}

	/**
	 * The newest rows, the oldest of them first.
	 *
	 * @param int $limit Rows at most.
	 * @return array[]
	 */
	public static function newest( $limit ) {
		global $wpdb;
		$table = self::table();
		return array_reverse(
			(array) $wpdb->get_results( // phpcs:ignore WordPress.DB
				$wpdb->prepare( "SELECT * FROM {$table} ORDER BY seq DESC LIMIT %d", $limit ), // phpcs:ignore WordPress.DB.PreparedSQL
				ARRAY_A
			)
		);
	}

	/**
	 * What there is to know of the journal besides its rows; read after them, and from the database.
	 *
	 * A cache of options may be of an earlier moment than the rows.
	 *
	 * @param int $anchor The reader's place: the last row up to it tells whether this is the same journal.
	 * @return array
	 */
	public static function facts( $anchor = 0 ) {
		global $wpdb;
		$table = self::table();
		// phpcs:disable WordPress.DB
		$ends    = $wpdb->get_row( "SELECT MIN(seq) AS oldest, MAX(seq) AS head, UTC_TIMESTAMP(6) AS now FROM {$table}", ARRAY_A );
		$row     = $anchor > 0 ? $wpdb->get_row( $wpdb->prepare( "SELECT seq, occurred_gmt FROM {$table} WHERE seq <= %d ORDER BY seq DESC LIMIT 1", $anchor ), ARRAY_A ) : null;
		$options = $wpdb->get_results(
			$wpdb->prepare(
				"SELECT option_name, option_value FROM {$wpdb->options} WHERE option_name IN (%s, %s, %s)",
				Installer::EPOCH_OPTION,
				Installer::SINCE_OPTION,
				Installer::PRUNED_OPTION
			),
			OBJECT_K
		);
		// phpcs:enable
		$option = function ( $name ) use ( $options ) {
			return isset( $options[ $name ] ) ? (string) $options[ $name ]->option_value : '';
		};
		$head   = (int) ( $ends['head'] ?? 0 );
		$pruned = (int) $option( Installer::PRUNED_OPTION );
		return array(
			'head'   => $head,
			'oldest' => (int) ( $ends['oldest'] ?? 0 ),
			// The newest row is never pruned: otherwise this is of a table that is no more.
			'pruned' => $pruned < $head ? $pruned : 0,
			'epoch'  => $option( Installer::EPOCH_OPTION ),
			'since'  => self::date( $option( Installer::SINCE_OPTION ) ),
			'now'    => self::date( (string) ( $ends['now'] ?? '' ) ),
			'anchor' => $row ? self::anchor( $row ) : null,
		);
	}

	/**
	 * What tells a row from another one of its number.
	 *
	 * @param array $row A row.
	 * @return array
	 */
	private static function anchor( $row ) {
		return array(
			'seq' => (int) $row['seq'],
			'at'  => self::date( $row['occurred_gmt'] ),
		);
	}

	/**
	 * A date of the database as it is told.
	 *
	 * @param string $date Universal time, as MySQL writes it.
	 * @return string
	 */
	public static function date( $date ) {
		return '' === $date ? '' : str_replace( ' ', 'T', $date );
	}

	/**
	 * Delete rows that are too old or too many; the newest one stays, so that no number comes twice.
	 *
	 * InnoDB may begin its numbers anew after a restart when a table is empty.
	 *
	 * @return int Rows deleted.
	 */
	public static function prune() {
		global $wpdb;
		$table = self::table();
		/**
		 * How many days rows of the journal are kept.
		 *
		 * @since 1.0.0
		 *
		 * @param int $days Days.
		 */
		$days = max( 1, (int) apply_filters( 'flask_woo_events_retention_days', self::DAYS ) );
		/**
		 * How many rows of the journal are kept at most.
		 *
		 * @since 1.0.0
		 *
		 * @param int $rows Rows.
		 */
		$rows = max( 1000, (int) apply_filters( 'flask_woo_events_retention_rows', self::ROWS ) );
		// phpcs:disable WordPress.DB
		$head  = (int) $wpdb->get_var( "SELECT MAX(seq) FROM {$table}" );
		$old   = (int) $wpdb->get_var( $wpdb->prepare( "SELECT MAX(seq) FROM {$table} WHERE occurred_gmt < UTC_TIMESTAMP(6) - INTERVAL %d DAY", $days ) );
		$until = min( $head - 1, max( $old, $head - $rows ) );
		if ( $until < 1 || ! $wpdb->get_var( $wpdb->prepare( "SELECT seq FROM {$table} WHERE seq <= %d LIMIT 1", $until ) ) ) {
			return 0;
		}
		// Before the rows go: a reader must never take pruned rows for rows that were not there.
		update_option( Installer::PRUNED_OPTION, $until, false );
		$deleted = 0;
		do {
			$some     = (int) $wpdb->query( $wpdb->prepare( "DELETE FROM {$table} WHERE seq <= %d ORDER BY seq LIMIT %d", $until, self::AT_ONCE ) );
			$deleted += $some;
		} while ( self::AT_ONCE === $some );
		// phpcs:enable
		return $deleted;
	}
}
