CREATE TABLE histograms (
    project VARCHAR NOT NULL,
    cfg_hash VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    content BLOB NOT NULL,
    id INTEGER NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (project, cfg_hash, name)
);
CREATE TABLE pipeline_schema (
    version INTEGER NOT NULL,
    id INTEGER NOT NULL,
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
    id INTEGER NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (project, cfg_hash, source_name)
);
CREATE TABLE raw_photometry (
    filename VARCHAR,
    folder VARCHAR,
    filekey VARCHAR,
    observatory VARCHAR NOT NULL,
    source_name VARCHAR NOT NULL,
    colmap JSON,
    time_info JSON,
    altdata JSON,
    time_start DOUBLE,
    time_end DOUBLE,
    number INTEGER,
    size INTEGER,
    id INTEGER NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (source_name, observatory)
);
CREATE INDEX ix_raw_photometry_filename ON raw_photometry (filename);
CREATE INDEX ix_raw_photometry_observatory ON raw_photometry (observatory);
CREATE INDEX ix_raw_photometry_source_name ON raw_photometry (source_name);
CREATE TABLE sources (
    name VARCHAR NOT NULL,
    ra DOUBLE NOT NULL,
    dec DOUBLE NOT NULL,
    project VARCHAR NOT NULL,
    cfg_hash VARCHAR NOT NULL,
    origin VARCHAR,
    classification VARCHAR,
    aliases JSON,
    local_names JSON,
    mag DOUBLE,
    mag_err DOUBLE,
    mag_filter VARCHAR,
    cat_index INTEGER,
    cat_name VARCHAR,
    cat_row JSON,
    id INTEGER NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (project, cfg_hash, name)
);
CREATE INDEX ix_sources_name ON sources (name);
CREATE TABLE lightcurves (
    source_id INTEGER NOT NULL,
    raw_data_id INTEGER,
    project VARCHAR NOT NULL,
    cfg_hash VARCHAR NOT NULL,
    raw_data_filename VARCHAR,
    series_number INTEGER NOT NULL,
    series_total INTEGER NOT NULL,
    simulation_number INTEGER,
    was_processed BOOLEAN NOT NULL,
    is_simulated BOOLEAN NOT NULL,
    filter VARCHAR,
    exp_time DOUBLE,
    frame_rate DOUBLE,
    is_uniformly_sampled BOOLEAN,
    zero_point_instrumental DOUBLE,
    zero_point_measured DOUBLE,
    num_good INTEGER,
    flux_mean DOUBLE,
    flux_rms DOUBLE,
    flux_mean_robust DOUBLE,
    flux_rms_robust DOUBLE,
    flux_max DOUBLE,
    flux_min DOUBLE,
    snr_max DOUBLE,
    snr_min DOUBLE,
    snr_median DOUBLE,
    dsnr_max DOUBLE,
    dsnr_min DOUBLE,
    dmag_brightest DOUBLE,
    dmag_faintest DOUBLE,
    filename VARCHAR,
    folder VARCHAR,
    filekey VARCHAR,
    observatory VARCHAR NOT NULL,
    source_name VARCHAR NOT NULL,
    colmap JSON,
    time_info JSON,
    altdata JSON,
    time_start DOUBLE,
    time_end DOUBLE,
    number INTEGER,
    size INTEGER,
    id INTEGER NOT NULL,
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
    source_id INTEGER NOT NULL,
    source_name VARCHAR NOT NULL,
    project VARCHAR NOT NULL,
    cfg_hash VARCHAR NOT NULL,
    has_data BOOLEAN NOT NULL,
    props JSON NOT NULL,
    id INTEGER NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (project, cfg_hash, source_name),
    UNIQUE (source_id),
    FOREIGN KEY(source_id) REFERENCES sources (id) ON DELETE CASCADE
);
CREATE TABLE source_raw_photometry (
    source_id INTEGER NOT NULL,
    raw_id INTEGER NOT NULL,
    PRIMARY KEY (source_id, raw_id),
    FOREIGN KEY(source_id) REFERENCES sources (id) ON DELETE CASCADE,
    FOREIGN KEY(raw_id) REFERENCES raw_photometry (id) ON DELETE CASCADE
)
 WITHOUT ROWID;
CREATE INDEX ix_source_raw_photometry_raw_id ON source_raw_photometry (raw_id);
CREATE TABLE detections (
    source_id INTEGER NOT NULL,
    lightcurve_id INTEGER,
    source_name VARCHAR NOT NULL,
    project VARCHAR NOT NULL,
    cfg_hash VARCHAR NOT NULL,
    method VARCHAR NOT NULL,
    data_types JSON NOT NULL,
    observatory VARCHAR,
    filter VARCHAR,
    time_start DOUBLE,
    time_end DOUBLE,
    simulated BOOLEAN NOT NULL,
    sim_pars JSON,
    snr DOUBLE,
    score DOUBLE,
    extra_scores JSON,
    quality_flag BOOLEAN,
    quality_values JSON,
    peak_time DOUBLE,
    peak_start DOUBLE,
    peak_end DOUBLE,
    peak_mag DOUBLE,
    peak_mag_diff DOUBLE,
    raw_photometry_peak_number INTEGER,
    raw_photometry_data_ranges JSON,
    processed_photometry_peak_number INTEGER,
    processed_photometry_data_ranges JSON,
    matched_filter_kernel_index INTEGER,
    matched_filter_kernel_props JSON,
    matched_filter_bank_name VARCHAR,
    wavelength_start DOUBLE,
    wavelength_end DOUBLE,
    wavelength_peak DOUBLE,
    pixel_x DOUBLE,
    pixel_y DOUBLE,
    id INTEGER NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(source_id) REFERENCES sources (id) ON DELETE CASCADE,
    FOREIGN KEY(lightcurve_id) REFERENCES lightcurves (id) ON DELETE SET NULL
);
CREATE INDEX ix_detections_project ON detections (project);
CREATE INDEX ix_detections_snr ON detections (snr);
CREATE INDEX ix_detections_source_id ON detections (source_id);
