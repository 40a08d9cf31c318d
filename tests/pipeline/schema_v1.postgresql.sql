CREATE TABLE histograms (
    project VARCHAR NOT NULL,
    cfg_hash VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    content BYTEA NOT NULL,
    id BIGSERIAL NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (project, cfg_hash, name)
);
CREATE TABLE pipeline_schema (
    version INTEGER NOT NULL,
    id BIGSERIAL NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE problems (
    project VARCHAR NOT NULL,
    cfg_hash VARCHAR NOT NULL,
    source_name VARCHAR NOT NULL,
    cat_index INTEGER,
    observatory VARCHAR,
    step VARCHAR NOT NULL,
    what VARCHAR NOT NULL,
    times INTEGER NOT NULL,
    id BIGSERIAL NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (project, cfg_hash, source_name)
);
CREATE TABLE raw_photometry (
    filename VARCHAR,
    folder VARCHAR,
    filekey VARCHAR,
    observatory VARCHAR NOT NULL,
    source_name VARCHAR NOT NULL,
    colmap JSONB,
    time_info JSONB,
    altdata JSONB,
    time_start DOUBLE PRECISION,
    time_end DOUBLE PRECISION,
    number INTEGER,
    size INTEGER,
    id BIGSERIAL NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (source_name, observatory)
);
CREATE INDEX ix_raw_photometry_filename ON raw_photometry (filename);
CREATE INDEX ix_raw_photometry_observatory ON raw_photometry (observatory);
CREATE INDEX ix_raw_photometry_source_name ON raw_photometry (source_name);
CREATE TABLE sources (
    name VARCHAR NOT NULL,
    ra DOUBLE PRECISION NOT NULL,
    dec DOUBLE PRECISION NOT NULL,
    project VARCHAR NOT NULL,
    cfg_hash VARCHAR NOT NULL,
    origin VARCHAR,
    classification VARCHAR,
    aliases JSONB,
    local_names JSONB,
    mag DOUBLE PRECISION,
    mag_err DOUBLE PRECISION,
    mag_filter VARCHAR,
    cat_index INTEGER,
    cat_name VARCHAR,
    cat_row JSONB,
    id BIGSERIAL NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (project, cfg_hash, name)
);
CREATE INDEX ix_sources_name ON sources (name);
CREATE TABLE lightcurves (
    source_id BIGINT NOT NULL,
    raw_data_id BIGINT,
    project VARCHAR NOT NULL,
    cfg_hash VARCHAR NOT NULL,
    raw_data_filename VARCHAR,
    series_number INTEGER NOT NULL,
    series_total INTEGER NOT NULL,
    simulation_number INTEGER,
    was_processed BOOLEAN NOT NULL,
    is_simulated BOOLEAN NOT NULL,
    filter VARCHAR,
    exp_time DOUBLE PRECISION,
    frame_rate DOUBLE PRECISION,
    is_uniformly_sampled BOOLEAN,
    zero_point_instrumental DOUBLE PRECISION,
    zero_point_measured DOUBLE PRECISION,
    num_good INTEGER,
    flux_mean DOUBLE PRECISION,
    flux_rms DOUBLE PRECISION,
    flux_mean_robust DOUBLE PRECISION,
    flux_rms_robust DOUBLE PRECISION,
    flux_max DOUBLE PRECISION,
    flux_min DOUBLE PRECISION,
    snr_max DOUBLE PRECISION,
    snr_min DOUBLE PRECISION,
    snr_median DOUBLE PRECISION,
    dsnr_max DOUBLE PRECISION,
    dsnr_min DOUBLE PRECISION,
    dmag_brightest DOUBLE PRECISION,
    dmag_faintest DOUBLE PRECISION,
    filename VARCHAR,
    folder VARCHAR,
    filekey VARCHAR,
    observatory VARCHAR NOT NULL,
    source_name VARCHAR NOT NULL,
    colmap JSONB,
    time_info JSONB,
    altdata JSONB,
    time_start DOUBLE PRECISION,
    time_end DOUBLE PRECISION,
    number INTEGER,
    size INTEGER,
    id BIGSERIAL NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(source_id) REFERENCES sources (id) ON DELETE CASCADE,
    FOREIGN KEY(raw_data_id) REFERENCES raw_photometry (id) ON DELETE SET NULL
);
CREATE INDEX ix_lightcurves_filename ON lightcurves (filename);
CREATE INDEX ix_lightcurves_observatory ON lightcurves (observatory);
CREATE INDEX ix_lightcurves_raw_data_id ON lightcurves (raw_data_id);
CREATE INDEX ix_lightcurves_source_id ON lightcurves (source_id);
CREATE INDEX ix_lightcurves_source_name ON lightcurves (source_name);
CREATE INDEX ix_lightcurves_version ON lightcurves (project, cfg_hash);
CREATE TABLE properties (
    source_id BIGINT NOT NULL,
    source_name VARCHAR NOT NULL,
    project VARCHAR NOT NULL,
    cfg_hash VARCHAR NOT NULL,
    has_data BOOLEAN NOT NULL,
    props JSONB NOT NULL,
    id BIGSERIAL NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (project, cfg_hash, source_name),
    UNIQUE (source_id),
    FOREIGN KEY(source_id) REFERENCES sources (id) ON DELETE CASCADE
);
CREATE TABLE source_raw_photometry (
    source_id BIGINT NOT NULL,
    raw_id BIGINT NOT NULL,
    PRIMARY KEY (source_id, raw_id),
    FOREIGN KEY(source_id) REFERENCES sources (id) ON DELETE CASCADE,
    FOREIGN KEY(raw_id) REFERENCES raw_photometry (id) ON DELETE CASCADE
);
CREATE INDEX ix_source_raw_photometry_raw_id ON source_raw_photometry (raw_id);
CREATE TABLE detections (
    source_id BIGINT NOT NULL,
    lightcurve_id BIGINT,
    source_name VARCHAR NOT NULL,
    project VARCHAR NOT NULL,
    cfg_hash VARCHAR NOT NULL,
    method VARCHAR NOT NULL,
    data_types JSONB NOT NULL,
    observatory VARCHAR,
    filter VARCHAR,
    time_start DOUBLE PRECISION,
    time_end DOUBLE PRECISION,
    simulated BOOLEAN NOT NULL,
    sim_pars JSONB,
    snr DOUBLE PRECISION,
    score DOUBLE PRECISION,
    extra_scores JSONB,
    quality_flag BOOLEAN,
    quality_values JSONB,
    peak_time DOUBLE PRECISION,
    peak_start DOUBLE PRECISION,
    peak_end DOUBLE PRECISION,
    peak_mag DOUBLE PRECISION,
    peak_mag_diff DOUBLE PRECISION,
    raw_photometry_peak_number INTEGER,
    raw_photometry_data_ranges JSONB,
    processed_photometry_peak_number INTEGER,
    processed_photometry_data_ranges JSONB,
    matched_filter_kernel_index INTEGER,
    matched_filter_kernel_props JSONB,
    matched_filter_bank_name VARCHAR,
    wavelength_start DOUBLE PRECISION,
    wavelength_end DOUBLE PRECISION,
    wavelength_peak DOUBLE PRECISION,
    pixel_x DOUBLE PRECISION,
    pixel_y DOUBLE PRECISION,
    id BIGSERIAL NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(source_id) REFERENCES sources (id) ON DELETE CASCADE,
    FOREIGN KEY(lightcurve_id) REFERENCES lightcurves (id) ON DELETE SET NULL
);
CREATE INDEX ix_detections_project ON detections (project);
CREATE INDEX ix_detections_snr ON detections (snr);
CREATE INDEX ix_detections_source_id ON detections (source_id);
