# Sourced by the image when it fills an empty folder: the user that Grafana reads the tables as.
docker_process_sql <<SQL
CREATE USER 'grafana'@'%' IDENTIFIED BY '$(cat /run/secrets/mysql_grafana)';
GRANT SELECT ON \`$MYSQL_DATABASE\`.* TO 'grafana'@'%';
SQL
