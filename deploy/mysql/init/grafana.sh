# Sourced by the image when it initializes an empty folder. Creates the user with which Grafana reads the tables.
docker_process_sql <<SQL
CREATE USER 'grafana'@'%' IDENTIFIED BY '$(cat /run/secrets/mysql_grafana)';
GRANT SELECT ON \`$MYSQL_DATABASE\`.* TO 'grafana'@'%';
SQL
