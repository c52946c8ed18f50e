BEGIN TRANSACTION;
CREATE TABLE account (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	tenant VARCHAR NOT NULL,
	sub VARCHAR NOT NULL,
	address VARCHAR NOT NULL,
	sharing VARCHAR NOT NULL,
	connected_at FLOAT,
	scopes VARCHAR DEFAULT '' NOT NULL,
	refresh_token BLOB,
	refresh_expires_at FLOAT,
	access_token BLOB,
	access_expires_at FLOAT,
	syncing BOOLEAN DEFAULT 0 NOT NULL,
	last_sync FLOAT,
	next_sync FLOAT,
	error_code VARCHAR,
	error_since FLOAT,
	error_facts VARCHAR,
	failures INTEGER DEFAULT '0' NOT NULL,
	wish VARCHAR,
	due VARCHAR,
	accepted VARCHAR,
	attempts INTEGER DEFAULT '0' NOT NULL,
	generation INTEGER DEFAULT '0' NOT NULL,
	owner VARCHAR,
	known_since INTEGER DEFAULT '0' NOT NULL,
	labels_token VARCHAR,
	numbers_version INTEGER DEFAULT '0' NOT NULL,
	labels_fingerprint VARCHAR DEFAULT '' NOT NULL,
	client_id VARCHAR,
	hd VARCHAR,
	contacts INTEGER,
	numbers INTEGER,
	skipped VARCHAR,
	shared_label VARCHAR, delegated BOOLEAN DEFAULT 0 NOT NULL,
	CONSTRAINT account_tenant_sub UNIQUE (tenant, sub)
);
CREATE TABLE activity (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	at FLOAT NOT NULL,
	tenant VARCHAR NOT NULL,
	actor VARCHAR NOT NULL,
	act VARCHAR NOT NULL,
	subject VARCHAR NOT NULL,
	detail VARCHAR NOT NULL,
	address VARCHAR NOT NULL
);
CREATE TABLE admin_link (
	token VARCHAR NOT NULL,
	tenant VARCHAR NOT NULL,
	created_at FLOAT NOT NULL,
	PRIMARY KEY (token)
);
CREATE TABLE alarm (
	tenant VARCHAR NOT NULL,
	code VARCHAR NOT NULL,
	since FLOAT NOT NULL,
	link VARCHAR DEFAULT '' NOT NULL,
	PRIMARY KEY (tenant)
);
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0040');
CREATE TABLE change (
	kind VARCHAR NOT NULL,
	"key" VARCHAR NOT NULL,
	number INTEGER NOT NULL,
	marked_at FLOAT,
	PRIMARY KEY (kind, "key")
);
CREATE TABLE consent_flow (
	state VARCHAR NOT NULL,
	browser VARCHAR NOT NULL,
	tenant VARCHAR NOT NULL,
	purpose VARCHAR NOT NULL,
	nonce BLOB NOT NULL,
	verifier BLOB NOT NULL,
	created_at FLOAT NOT NULL,
	expected VARCHAR DEFAULT '' NOT NULL,
	PRIMARY KEY (state)
);
CREATE TABLE contact (
	account_id INTEGER NOT NULL,
	source VARCHAR NOT NULL,
	uid VARCHAR NOT NULL,
	source_id VARCHAR NOT NULL,
	content BLOB,
	skipped VARCHAR,
	numbers INTEGER NOT NULL,
	unreadable INTEGER NOT NULL,
	generation INTEGER DEFAULT '0' NOT NULL,
	digest BLOB,
	flaws VARCHAR,
	missed_at FLOAT,
	PRIMARY KEY (account_id, source, uid),
	FOREIGN KEY(account_id) REFERENCES account (id) ON DELETE CASCADE
);
CREATE TABLE delegation (
	tenant VARCHAR NOT NULL,
	key_file BLOB NOT NULL,
	settings VARCHAR NOT NULL,
	entered_at FLOAT NOT NULL,
	PRIMARY KEY (tenant)
);
CREATE TABLE gateway (
	id VARCHAR NOT NULL,
	name VARCHAR NOT NULL,
	version VARCHAR NOT NULL,
	roles VARCHAR NOT NULL,
	keys VARCHAR NOT NULL,
	position INTEGER NOT NULL,
	accounts INTEGER NOT NULL,
	contacts INTEGER NOT NULL,
	started_at FLOAT NOT NULL,
	seen_at FLOAT NOT NULL,
	revision VARCHAR NOT NULL,
	is_leader BOOLEAN NOT NULL,
	PRIMARY KEY (id)
);
CREATE TABLE google_group (
	tenant VARCHAR NOT NULL,
	address VARCHAR NOT NULL,
	members VARCHAR NOT NULL,
	read_at FLOAT,
	error_code VARCHAR,
	error_since FLOAT,
	PRIMARY KEY (tenant, address)
);
CREATE TABLE held_leavers (
	tenant VARCHAR NOT NULL,
	count INTEGER NOT NULL,
	since FLOAT NOT NULL,
	PRIMARY KEY (tenant)
);
CREATE TABLE label (
	account_id INTEGER NOT NULL,
	resource_name VARCHAR NOT NULL,
	name VARCHAR NOT NULL,
	PRIMARY KEY (account_id, resource_name),
	FOREIGN KEY(account_id) REFERENCES account (id) ON DELETE CASCADE
);
CREATE TABLE leaver (
	account_id INTEGER NOT NULL,
	reason VARCHAR NOT NULL,
	since FLOAT NOT NULL,
	kept BOOLEAN DEFAULT 0 NOT NULL,
	approved BOOLEAN DEFAULT 0 NOT NULL,
	PRIMARY KEY (account_id),
	FOREIGN KEY(account_id) REFERENCES account (id) ON DELETE CASCADE
);
CREATE TABLE oauth_client (
	tenant VARCHAR NOT NULL,
	client_id VARCHAR NOT NULL,
	client_secret BLOB NOT NULL,
	entered_at FLOAT NOT NULL,
	PRIMARY KEY (tenant)
);
CREATE TABLE phone (
	name VARCHAR NOT NULL,
	tenant VARCHAR NOT NULL,
	account_id INTEGER,
	numbers VARCHAR NOT NULL,
	model VARCHAR DEFAULT '' NOT NULL,
	password VARCHAR NOT NULL,
	created_at FLOAT NOT NULL,
	last_seen FLOAT,
	last_address VARCHAR,
	searched_at FLOAT,
	search_hint VARCHAR,
	worked_at FLOAT,
	book_secret VARCHAR,
	number_format VARCHAR,
	area_code VARCHAR DEFAULT '' NOT NULL,
	refused_at FLOAT,
	refused_address VARCHAR,
	refused_count INTEGER,
	placeholder VARCHAR,
	replica VARCHAR,
	password_at FLOAT, next_password VARCHAR, next_password_at FLOAT, mac VARCHAR, last_over_tls BOOLEAN, label VARCHAR DEFAULT '' NOT NULL,
	PRIMARY KEY (name),
	FOREIGN KEY(account_id) REFERENCES account (id) ON DELETE CASCADE
);
CREATE TABLE photo (
	account_id INTEGER NOT NULL,
	source VARCHAR NOT NULL,
	uid VARCHAR NOT NULL,
	url VARCHAR NOT NULL,
	due_at FLOAT,
	failures INTEGER DEFAULT '0' NOT NULL,
	jpeg BLOB,
	PRIMARY KEY (account_id, source, uid),
	FOREIGN KEY(account_id) REFERENCES account (id) ON DELETE CASCADE
);
CREATE TABLE provisioning (
	phone VARCHAR NOT NULL,
	secret VARCHAR NOT NULL,
	password BLOB NOT NULL,
	until FLOAT NOT NULL,
	fetches VARCHAR NOT NULL,
	PRIMARY KEY (phone),
	FOREIGN KEY(phone) REFERENCES phone (name) ON DELETE CASCADE
);
CREATE TABLE provisioning_window (
	tenant VARCHAR NOT NULL,
	token BLOB NOT NULL,
	opened_at FLOAT NOT NULL,
	until FLOAT NOT NULL,
	plain_http BOOLEAN NOT NULL,
	chosen BOOLEAN NOT NULL,
	PRIMARY KEY (tenant)
);
CREATE TABLE recording (
	phone VARCHAR NOT NULL,
	begun_at FLOAT NOT NULL,
	until FLOAT NOT NULL,
	plain BOOLEAN NOT NULL,
	PRIMARY KEY (phone),
	FOREIGN KEY(phone) REFERENCES phone (name) ON DELETE CASCADE
);
CREATE TABLE recording_part (
	phone VARCHAR NOT NULL,
	gateway VARCHAR NOT NULL,
	searches INTEGER NOT NULL,
	content BLOB NOT NULL,
	PRIMARY KEY (phone, gateway),
	FOREIGN KEY(phone) REFERENCES recording (phone) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE removed_contact (
	account_id INTEGER NOT NULL,
	source VARCHAR NOT NULL,
	uid VARCHAR NOT NULL,
	generation INTEGER NOT NULL,
	PRIMARY KEY (account_id, source, uid),
	FOREIGN KEY(account_id) REFERENCES account (id) ON DELETE CASCADE
);
CREATE TABLE revocation (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	tenant VARCHAR NOT NULL,
	sub VARCHAR NOT NULL,
	token BLOB NOT NULL,
	since FLOAT NOT NULL,
	next_try FLOAT NOT NULL,
	tries INTEGER DEFAULT '0' NOT NULL
);
CREATE TABLE schema_version (
	revision VARCHAR NOT NULL,
	readable_from VARCHAR NOT NULL,
	copied_from VARCHAR,
	"key" VARCHAR,
	PRIMARY KEY (revision)
);
INSERT INTO "schema_version" VALUES('0040','0038',NULL,NULL);
CREATE TABLE sign_in (
	token VARCHAR NOT NULL,
	tenant VARCHAR NOT NULL,
	sub VARCHAR NOT NULL,
	address VARCHAR NOT NULL,
	created_at FLOAT NOT NULL,
	seen_at FLOAT NOT NULL,
	hd VARCHAR DEFAULT '' NOT NULL,
	PRIMARY KEY (token)
);
CREATE TABLE source (
	account_id INTEGER NOT NULL,
	source VARCHAR NOT NULL,
	state VARCHAR NOT NULL,
	sync_token VARCHAR,
	fingerprint VARCHAR DEFAULT '' NOT NULL,
	full_sync_at FLOAT,
	asked_at FLOAT,
	error_code VARCHAR,
	error_since FLOAT,
	error_facts VARCHAR,
	next_try FLOAT,
	page_size INTEGER,
	warnings VARCHAR,
	total INTEGER,
	PRIMARY KEY (account_id, source),
	FOREIGN KEY(account_id) REFERENCES account (id) ON DELETE CASCADE
);
CREATE TABLE step_report (
	tenant VARCHAR NOT NULL,
	vendor VARCHAR NOT NULL,
	model VARCHAR NOT NULL,
	version VARCHAR NOT NULL,
	step INTEGER NOT NULL,
	menu VARCHAR NOT NULL,
	step_text VARCHAR NOT NULL,
	count INTEGER NOT NULL,
	at FLOAT NOT NULL,
	PRIMARY KEY (tenant, vendor, model, version, step, menu)
);
CREATE TABLE sync_attempt (
	account_id INTEGER NOT NULL,
	number INTEGER NOT NULL,
	ended_at FLOAT NOT NULL,
	seconds FLOAT NOT NULL,
	is_full BOOLEAN NOT NULL,
	added INTEGER NOT NULL,
	changed INTEGER NOT NULL,
	removed INTEGER NOT NULL,
	skipped INTEGER NOT NULL,
	error VARCHAR,
	PRIMARY KEY (account_id, number),
	FOREIGN KEY(account_id) REFERENCES account (id) ON DELETE CASCADE
);
CREATE TABLE sync_day (
	account_id INTEGER NOT NULL,
	day INTEGER NOT NULL,
	ok INTEGER NOT NULL,
	failed INTEGER NOT NULL,
	changes INTEGER NOT NULL,
	PRIMARY KEY (account_id, day),
	FOREIGN KEY(account_id) REFERENCES account (id) ON DELETE CASCADE
);
CREATE TABLE sync_progress (
	account_id INTEGER NOT NULL,
	source VARCHAR NOT NULL,
	fetched INTEGER NOT NULL,
	total INTEGER,
	step INTEGER NOT NULL,
	step_count INTEGER NOT NULL,
	PRIMARY KEY (account_id),
	FOREIGN KEY(account_id) REFERENCES account (id) ON DELETE CASCADE
);
CREATE TABLE unfit_client (
	address VARCHAR NOT NULL,
	mistake VARCHAR NOT NULL,
	at FLOAT NOT NULL,
	PRIMARY KEY (address, mistake)
);
CREATE TABLE window_phone (
	phone VARCHAR NOT NULL,
	fetched_at FLOAT,
	address VARCHAR DEFAULT '' NOT NULL,
	file VARCHAR DEFAULT '' NOT NULL,
	PRIMARY KEY (phone),
	FOREIGN KEY(phone) REFERENCES phone (name) ON DELETE CASCADE
);
CREATE TABLE window_refusal (
	tenant VARCHAR NOT NULL,
	reason VARCHAR NOT NULL,
	mac VARCHAR NOT NULL,
	address VARCHAR NOT NULL,
	at FLOAT NOT NULL,
	count INTEGER NOT NULL,
	PRIMARY KEY (tenant, reason, mac)
);
CREATE TABLE workspace (
	tenant VARCHAR NOT NULL,
	read_at FLOAT,
	users INTEGER DEFAULT '0' NOT NULL,
	scopes VARCHAR DEFAULT '' NOT NULL,
	error_code VARCHAR,
	error_since FLOAT,
	PRIMARY KEY (tenant)
);
CREATE INDEX account_owner ON account (owner);
CREATE INDEX activity_tenant_at ON activity (tenant, at);
CREATE INDEX change_number ON change (number);
CREATE INDEX contact_generation ON contact (account_id, generation);
CREATE INDEX contact_source_id ON contact (account_id, source, source_id);
CREATE INDEX phone_account ON phone (account_id);
CREATE INDEX photo_due_at ON photo (due_at);
CREATE INDEX account_folded_address ON account (lower(address));
CREATE INDEX phone_folded_name ON phone (lower(name));
CREATE TRIGGER change_account_insert AFTER INSERT ON account BEGIN
    INSERT INTO change (kind, key, number)
    VALUES ('account', NEW.id, (SELECT coalesce(max(number), 0) + 1 FROM change))
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END;
CREATE TRIGGER change_account_update AFTER UPDATE ON account BEGIN
    INSERT INTO change (kind, key, number)
    VALUES ('account', NEW.id, (SELECT coalesce(max(number), 0) + 1 FROM change))
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END;
CREATE TRIGGER change_account_delete AFTER DELETE ON account BEGIN
    INSERT INTO change (kind, key, number)
    VALUES ('account', OLD.id, (SELECT coalesce(max(number), 0) + 1 FROM change))
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END;
CREATE TRIGGER change_source_insert AFTER INSERT ON source BEGIN
    INSERT INTO change (kind, key, number)
    VALUES ('account', NEW.account_id, (SELECT coalesce(max(number), 0) + 1 FROM change))
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END;
CREATE TRIGGER change_source_update AFTER UPDATE OF state ON source BEGIN
    INSERT INTO change (kind, key, number)
    VALUES ('account', NEW.account_id, (SELECT coalesce(max(number), 0) + 1 FROM change))
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END;
CREATE TRIGGER change_source_delete AFTER DELETE ON source BEGIN
    INSERT INTO change (kind, key, number)
    VALUES ('account', OLD.account_id, (SELECT coalesce(max(number), 0) + 1 FROM change))
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END;
CREATE TRIGGER change_phone_insert AFTER INSERT ON phone BEGIN
    INSERT INTO change (kind, key, number)
    VALUES ('phone', NEW.name, (SELECT coalesce(max(number), 0) + 1 FROM change))
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END;
CREATE TRIGGER change_phone_delete AFTER DELETE ON phone BEGIN
    INSERT INTO change (kind, key, number)
    VALUES ('phone', OLD.name, (SELECT coalesce(max(number), 0) + 1 FROM change))
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END;
CREATE TRIGGER change_oauth_client_insert AFTER insert ON oauth_client BEGIN
    INSERT INTO change (kind, key, number)
    SELECT 'account', id, (SELECT coalesce(max(number), 0) + 1 FROM change) FROM account WHERE tenant = NEW.tenant
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END;
CREATE TRIGGER change_oauth_client_update AFTER update ON oauth_client BEGIN
    INSERT INTO change (kind, key, number)
    SELECT 'account', id, (SELECT coalesce(max(number), 0) + 1 FROM change) FROM account WHERE tenant = NEW.tenant
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END;
CREATE TRIGGER change_oauth_client_delete AFTER delete ON oauth_client BEGIN
    INSERT INTO change (kind, key, number)
    SELECT 'account', id, (SELECT coalesce(max(number), 0) + 1 FROM change) FROM account WHERE tenant = OLD.tenant
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END;
CREATE UNIQUE INDEX phone_mac ON phone (tenant, mac);
CREATE TRIGGER change_phone_update AFTER UPDATE
OF name, tenant, account_id, numbers, model, password, next_password, book_secret, number_format, area_code ON phone
BEGIN
    INSERT INTO change (kind, key, number)
    VALUES ('phone', NEW.name, (SELECT coalesce(max(number), 0) + 1 FROM change))
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END;
CREATE TRIGGER change_delegation_INSERT AFTER INSERT ON delegation BEGIN
    INSERT INTO change (kind, key, number)
    SELECT 'account', id, (SELECT coalesce(max(number), 0) + 1 FROM change) FROM account WHERE tenant = NEW.tenant
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END;
CREATE TRIGGER change_delegation_UPDATE AFTER UPDATE ON delegation BEGIN
    INSERT INTO change (kind, key, number)
    SELECT 'account', id, (SELECT coalesce(max(number), 0) + 1 FROM change) FROM account WHERE tenant = NEW.tenant
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END;
CREATE TRIGGER change_delegation_DELETE AFTER DELETE ON delegation BEGIN
    INSERT INTO change (kind, key, number)
    SELECT 'account', id, (SELECT coalesce(max(number), 0) + 1 FROM change) FROM account WHERE tenant = OLD.tenant
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END;
CREATE TRIGGER change_google_group_INSERT AFTER INSERT ON google_group BEGIN
    INSERT INTO change (kind, key, number)
    SELECT 'account', id, (SELECT coalesce(max(number), 0) + 1 FROM change) FROM account WHERE tenant = NEW.tenant
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END;
CREATE TRIGGER change_google_group_UPDATE AFTER UPDATE OF members ON google_group BEGIN
    INSERT INTO change (kind, key, number)
    SELECT 'account', id, (SELECT coalesce(max(number), 0) + 1 FROM change) FROM account WHERE tenant = NEW.tenant
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END;
CREATE TRIGGER change_google_group_DELETE AFTER DELETE ON google_group BEGIN
    INSERT INTO change (kind, key, number)
    SELECT 'account', id, (SELECT coalesce(max(number), 0) + 1 FROM change) FROM account WHERE tenant = OLD.tenant
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END;
DELETE FROM "sqlite_sequence";
COMMIT;
