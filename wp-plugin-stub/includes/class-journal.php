<?php
/**
 * The journal: one row for each change and request, written when the change happens.
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
	 * Seconds within which a repeated change of an object in one request is not written again.
	 *
	 * The reader reads an object again if it first read it within ten seconds of the row, so no
	 * change in that time is missed.
	 */
	const TOGETHER = 5;

	/** Days for which rows are kept. */
	const DAYS = 14;

	/** Maximum number of rows that are kept. */
	const ROWS = 1000000;

	/** Maximum number of rows for one change of many objects. If there are more, one row with the id 0 is written. */
	const ONE_BY_ONE = 500;

	/** Rows deleted in one statement, so that locks are held only briefly. */
	const AT_ONCE = 5000;

	/**
	 * The last row that this request wrote for each object: time in seconds, row number, operation.
	 *
	 * @var array<string, array{0: float, 1: int, 2: string}>
	 */
	private static $written = array();

	/**
	 * Objects that are being deleted. Changes of their parts are covered by the row of the deletion.
	 *
	 * @var array<string, bool>
	 */
	private static $deleting = array();

	/**
	 * Return the name of the journal's table in the current site.
	 *
	 * @return string
	 */
	public static function table() {
		global $wpdb;
		return $wpdb->prefix . 'flask_woo_events_journal';
	}

	/**
	 * Write a row for a change of an object.
	 *
	 * Creating an object or moving it to the trash causes many updates, which become one row.
	 *
	 * @param string $type      Type of the object: order, refund, product, variation, coupon, customer, ...
	 * @param int    $id        Id of the object; 0 if any object of the type may have changed.
	 * @param string $operation create, update, role, trash, restore or delete.
	 * @param string $source    The hook.
	 * @param int    $parent_id Id of the product or order to which it belongs.
	 */
	public static function write( $type, $id, $operation, $source, $parent_id = 0 ) {
		$object = get_current_blog_id() . '/' . $type . '/' . (int) $id;
		if ( 'delete' === $operation ) {
			unset( self::$deleting[ $object ] );
		} elseif ( isset( self::$deleting[ $object ] ) ) {
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
			self::$written = array(); // Limit the memory use of a large import.
		}
		self::$written[ $object ] = array( $now, $seq, $operation );
	}

	/**
	 * Return whether this request has just created an object.
	 *
	 * @param string $type Type of the object.
	 * @param int    $id   Id of the object.
	 * @return bool
	 */
	public static function is_new( $type, $id ) {
		list( $when, , $operation ) = self::$written[ get_current_blog_id() . '/' . $type . '/' . (int) $id ] ?? array( 0.0, 0, '' );
		return 'create' === $operation && hrtime( true ) / 1e9 - $when < self::TOGETHER;
	}

	/**
	 * Return whether an operation is covered by any other operation on the same object.
	 *
	 * @param string $operation The operation.
	 * @return bool
	 */
	private static function is_update( $operation ) {
		return 'update' === $operation || 'role' === $operation;
	}

	/**
	 * Remember an object that is about to be deleted.
	 *
	 * @param string $type Type of the object.
	 * @param int    $id   Id of the object.
	 */
	public static function deleting( $type, $id ) {
		self::$deleting[ get_current_blog_id() . '/' . $type . '/' . (int) $id ] = true;
	}

	/**
	 * Return the objects to which meta belongs.
	 *
	 * @param string $type     Type of the objects, for WordPress: post or user.
	 * @param int[]  $meta_ids Ids of the meta.
	 * @return int[]|null Null if there are too many.
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
	 * Forget what this request wrote, because a long-running process may serve many requests.
	 */
	public static function forget() {
		self::$written  = array();
		self::$deleting = array();
	}

	/**
	 * Write to the table, in the transaction of the change.
	 *
	 * @param string $statement The statement, with %t for the table.
	 * @param array  $values    Values for it.
	 * @return int Number of the inserted row, or the count of updated rows; 0 on failure.
	 */
	private static function query( $statement, $values ) {
		global $wpdb;
		// The code that fired the hook may still need the results of its own query.
		$names = array( 'insert_id', 'rows_affected', 'num_rows', 'last_error', 'last_query', 'last_result' );
		$kept  = array();
		foreach ( $names as $name ) {
			$kept[ $name ] = $wpdb->$name;
		}
		$statement  = $wpdb->prepare( str_replace( '%t', self::table(), $statement ), $values ); // phpcs:ignore WordPress.DB.PreparedSQL
		$suppressed = $wpdb->suppress_errors( true );
		$done       = $wpdb->query( $statement ); // phpcs:ignore WordPress.DB
		if ( false === $done ) {
			// The table may have been dropped. In any case the reader must know that a row is missing.
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
	 * Return whether the table exists.
	 *
	 * @return bool
	 */
	public static function exists() {
		global $wpdb;
		$table = self::table();
		return $wpdb->get_var( $wpdb->prepare( 'SHOW TABLES LIKE %s', $wpdb->esc_like( $table ) ) ) === $table; // phpcs:ignore WordPress.DB
	}

	/**
	 * Return the rows after a row, oldest first.
	 *
	 * @param int $after Number of the row.
	 * @param int $limit Maximum number of rows.
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
	 * Return the newest rows, the oldest of them first.
	 *
	 * @param int $limit Maximum number of rows.
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
	 * Return the state of the journal, from the database. Call it after reading the rows.
	 *
	 * Cached options may be older than the rows.
	 *
	 * @param int $anchor The reader's position. The last row up to it shows whether this is the same journal.
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
			// The newest row is never pruned, so a greater value belongs to a table that no longer exists.
			'pruned' => $pruned < $head ? $pruned : 0,
			'epoch'  => $option( Installer::EPOCH_OPTION ) . ( self::is_paused() ? '-paused' : '' ),
			'since'  => self::date( $option( Installer::SINCE_OPTION ) ),
			'now'    => self::date( (string) ( $ends['now'] ?? '' ) ),
			'anchor' => $row ? self::anchor( $row ) : null,
		);
	}

	/**
	 * Return whether a session in recovery mode has paused the plugin: what is changed there is not recorded.
	 *
	 * WordPress loads the plugin in all other requests, and keeps what a session has paused in an option.
	 *
	 * @return bool
	 */
	private static function is_paused() {
		global $wpdb;
		$paused = $wpdb->get_col( "SELECT option_value FROM {$wpdb->options} WHERE option_name LIKE '%\\_paused\\_extensions'" ); // phpcs:ignore WordPress.DB
		$folder = dirname( plugin_basename( FLASK_WOO_EVENTS_FILE ) );
		foreach ( (array) $paused as $value ) {
			$extensions = maybe_unserialize( $value );
			if ( isset( $extensions['plugin'][ $folder ] ) ) {
				return true;
			}
		}
		return false;
	}

	/**
	 * Return what identifies a row: its number and its time.
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
	 * Format a date of the database for the REST API.
	 *
	 * @param string $date Date in UTC, as MySQL formats it.
	 * @return string
	 */
	public static function date( $date ) {
		return '' === $date ? '' : str_replace( ' ', 'T', $date );
	}

	/**
	 * Delete rows that are too old or too many. The newest row is kept, so that no number is used twice.
	 *
	 * InnoDB may restart its numbers at 1 after a restart if the table is empty.
	 *
	 * @return int Number of deleted rows.
	 */
	public static function prune() {
		global $wpdb;
		$table = self::table();
		/**
		 * Filters the number of days for which rows of the journal are kept.
		 *
		 * @since 1.0.0
		 *
		 * @param int $days Number of days.
		 */
		$days = max( 1, (int) apply_filters( 'flask_woo_events_retention_days', self::DAYS ) );
		/**
		 * Filters the maximum number of rows of the journal.
		 *
		 * @since 1.0.0
		 *
		 * @param int $rows Number of rows.
		 */
		$rows = max( 1000, (int) apply_filters( 'flask_woo_events_retention_rows', self::ROWS ) );
		// phpcs:disable WordPress.DB
		$head  = (int) $wpdb->get_var( "SELECT MAX(seq) FROM {$table}" );
		$old   = (int) $wpdb->get_var( $wpdb->prepare( "SELECT MAX(seq) FROM {$table} WHERE occurred_gmt < UTC_TIMESTAMP(6) - INTERVAL %d DAY", $days ) );
		$until = min( $head - 1, max( $old, $head - $rows ) );
		if ( $until < 1 || ! $wpdb->get_var( $wpdb->prepare( "SELECT seq FROM {$table} WHERE seq <= %d LIMIT 1", $until ) ) ) {
			return 0;
		}
		// Before the rows are deleted: a reader must never mistake pruned rows for rows that never existed.
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
